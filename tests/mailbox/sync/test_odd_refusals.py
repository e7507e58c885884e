"""Refusals that are for now, for the secret, or for one message."""

from __future__ import annotations

import pytest

from mailbox.errors import SignInRefused, Throttled
from mailbox.imap.responses import refused
from mailbox.models import Account, Folder, Message, Quarantine
from mailbox.sync import folder_sync
from tests.mailbox.sync.odd_server import account, all_stored, server, sync
from tests.mailbox.sync.synced import mail, stored
from tests.servers.imap_script import Box, Fault, Mail, ScriptedImap, Talk

__all__ = ["account", "server"]
pytestmark = [pytest.mark.django_db, pytest.mark.wire]


# --- Refusals -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words",
    [
        "System Error",
        "LOGIN System error, please try again later",
        "Server Unavailable. 15",
        "Temporary authentication failure",
        "[UNAVAILABLE] Temporary authentication failure.",
        "Service temporarily unavailable",
        "Rate limit hit.",
        "Too many simultaneous connections",
        "[ALERT] Too many simultaneous connections. (Failure)",
        "Maximum number of connections from user+IP exceeded",
        "Internal server error",
        "Login failed: backend timed out",
        "LOGIN failed. Cannot connect to backend",
        "Server error",
        "Please try again",
        "Connection dropped by IMAP server",
        "Login rate exceeded",
        "Cannot allocate memory",
        "Logins are currently disabled",
        "Maintenance in progress",
        "LOGIN failed, service not ready",
        "Lost connection to authentication server",
        "Can't open mailbox: I/O error",
        "Login limit exceeded",
        "Please wait 15 minutes",
        "You have reached the maximum number of simultaneous connections",
        "[IN-USE] Mailbox busy",
        "[SYS/TEMP] Storage is away",
        "Server shutting down",
        "Please try your request again in 5 minutes",
        "No server available to handle the request",
        "Too many invalid password attempts, try again later",
        "LDAP server unreachable",
        "Vorübergehender Fehler, bitte versuchen Sie es später erneut",
        "Слишком много подключений",
        "系统繁忙，请稍后再试",  # noqa: RUF001
        "サーバーが混雑しています",
        "일시적인 오류",
    ],
)
def test_passing_trouble_at_login_waits(words: str) -> None:
    assert isinstance(refused(words, signing_in=True), Throttled)


@pytest.mark.parametrize(
    "words",
    [
        "LOGIN failed.",
        "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
        "[AUTHENTICATIONFAILED] Authentication failed, please try again later",
        "AUTHENTICATE failed.",
        "Invalid login or password",
        "[ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754",
        "LOGIN Login error or password error",
        "Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, or "
        "system is busy.",
        "Application-specific password required",
        "Invalid credentials, please try again",
        "Your account has been locked",
        "IMAP is disabled for this account",
        "Login disabled for this user",
        "Username and password do not match",
        "Benutzername oder Passwort falsch",
        "密码错误，请稍后再试",  # noqa: RUF001
        "",
    ],
)
def test_a_refused_secret_needs_another(words: str) -> None:
    assert isinstance(refused(words, signing_in=True), SignInRefused)


def test_an_account_in_passing_trouble_needs_no_sign_in(account: Account, server: ScriptedImap) -> None:
    def trouble(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say(f"{tag} NO Server Unavailable. 15")
        return True

    server.faults["LOGIN"] = trouble
    assert folder_sync.sync(account.pk).error_code == "throttled"
    account.imap.refresh_from_db()
    assert account.imap.needs_sign_in_since is None
    assert account.imap.next_allowed_at


def refusing(server: ScriptedImap, bad: set[int], words: str) -> Fault:
    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        if not bad.intersection(server.chosen(arguments.split(" ")[0], talk)):
            return False
        talk.say(f"{tag} NO {words}")
        return True

    return refuse


@pytest.mark.parametrize("code", ["SERVERBUG", "UNAVAILABLE", "LIMIT"])
@pytest.mark.parametrize("bad", [1, 2, 3])
def test_one_message_that_is_always_refused_is_found_within_a_run(
    account: Account, server: ScriptedImap, code: str, bad: int
) -> None:
    server.faults["BODY"] = refusing(server, {bad}, f"[{code}] Internal error occurred")
    sync(account)
    assert {uid for _, uid, _ in stored(account)} == {1, 2, 3} - {bad}
    row = Quarantine.objects.open().get()
    assert row.uid == bad
    assert f"[{code}] Internal error occurred" in row.error
    account.imap.refresh_from_db()
    assert account.imap.next_allowed_at is None


def test_flags_date_and_size_that_are_refused_of_one_message_hold_up_no_other(
    account: Account, server: ScriptedImap
) -> None:
    server.faults["META"] = refusing(server, {2}, "Some messages could not be FETCHed (Failure)")
    sync(account)
    server.mails[4] = Mail(mail(4))
    sync(account)
    assert all_stored(account, server)


def refuse_to_speak_of(server: ScriptedImap, uid: int) -> None:
    server.faults["META"] = server.faults["HEADER"] = refusing(server, {uid}, "[SERVERBUG] Internal error occurred")


def test_one_message_that_is_refused_holds_up_no_folder_whose_uids_are_new(
    account: Account, server: ScriptedImap
) -> None:
    sync(account)
    server.uidvalidity += 1
    server.mails = {uid + 100: each for uid, each in server.mails.items()}
    refuse_to_speak_of(server, 102)
    outcome = folder_sync.sync(account.pk)
    assert outcome.ok and "2 kept, 1 fetched" in outcome.note, outcome.error
    assert all_stored(account, server) and not Quarantine.objects.exists()


@pytest.mark.parametrize("step", ["META", "HEADER"])
def test_one_message_that_is_refused_holds_up_no_comparison_with_a_restored_server(
    account: Account, server: ScriptedImap, step: str
) -> None:
    server.capabilities, server.highestmodseq = "IMAP4rev1 CONDSTORE", 900
    sync(account)
    server.highestmodseq = 700
    for uid in (2, 3):
        server.mails[uid] = Mail(mail(uid + 30, body="Other words."))
    server.faults[step] = refusing(server, {2}, "[SERVERBUG] Internal error occurred")
    outcome = folder_sync.sync(account.pk)
    assert outcome.ok and "gave UIDs to other messages" in outcome.note, outcome.error
    assert all_stored(account, server)


def test_one_message_that_is_refused_does_not_keep_a_renamed_folder_from_being_known_again(
    account: Account, server: ScriptedImap
) -> None:
    server.boxes["Work"] = Box({uid: Mail(mail(uid)) for uid in (11, 12, 13)})
    server.listed = ['() "/" INBOX', '() "/" Work']
    folder_sync.discover_folders(account.pk)
    row = Folder.objects.get(name="Work")
    Folder.objects.filter(pk=row.pk).update(sync_enabled=True)
    assert folder_sync.sync(account.pk, "Work").fetched == 3
    server.boxes["Done"] = server.boxes.pop("Work")
    server.listed = ['() "/" INBOX', '() "/" Done']
    refuse_to_speak_of(server, 12)
    folder_sync.discover_folders(account.pk)
    assert Folder.objects.get(pk=row.pk).name == "Done"


def test_one_that_comes_alone_is_found_by_what_was_fetched_before(account: Account, server: ScriptedImap) -> None:
    sync(account)
    server.mails[4] = Mail(mail(4))
    server.faults["BODY"] = refusing(server, {4}, "[SERVERBUG] Internal error occurred")
    sync(account)
    assert Quarantine.objects.open().get().uid == 4
    server.mails[5] = Mail(mail(5))
    sync(account)
    assert Message.objects.filter(subject="Mail 5").exists()


def test_a_server_that_refuses_all_is_left_alone(account: Account, server: ScriptedImap) -> None:
    server.faults["BODY"] = refusing(server, {1, 2, 3}, "[UNAVAILABLE] Try later")
    assert folder_sync.sync(account.pk).error_code == "throttled"
    assert not Quarantine.objects.exists()
    account.imap.refresh_from_db()
    assert account.imap.next_allowed_at
