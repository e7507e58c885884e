"""IMAP servers that people really have, as reported in public: the sync comes through, or fails in the right words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.errors import SignInRefused, Throttled
from mailbox.imap.responses import refused
from mailbox.models import Account, Folder, Message, MessagePlace, Quarantine, SyncState
from mailbox.storage.raw_store import digest_of
from mailbox.sync import folder_sync
from tests.mailbox.sync.synced import mail, stored
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Box, Fault, Mail, ScriptedImap, Talk

pytestmark = [pytest.mark.django_db, pytest.mark.wire]


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {uid: Mail(mail(uid)) for uid in (1, 2, 3)}).start()
    yield server
    server.stop()


@pytest.fixture
def account(make_account: Callable[..., Account], server: ScriptedImap) -> Account:
    return make_account(
        imap_host="localhost", imap_port=server.port, ca_certificate=server.certificates.ca_pem,
        smtp_host="localhost", smtp_port=1,
    )  # fmt: skip


def all_stored(account: Account, server: ScriptedImap) -> bool:
    there = {("INBOX", uid, digest_of(each.raw)) for uid, each in server.mails.items()}
    return stored(account) == there and not Quarantine.objects.exists()


def sync(account: Account, folder: str = "INBOX") -> None:
    outcome = folder_sync.sync(account.pk, folder)
    assert outcome.ok, outcome.error


# --- INTERNALDATE -------------------------------------------------------------------------------------------------
RECEIVED = datetime(2024, 2, 29, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"8-Mar-2023 12:16:47 +0800"', datetime(2023, 3, 8, 4, 16, 47, tzinfo=UTC)),
        ('" 8-Mar-2023 12:16:47 +0800"', datetime(2023, 3, 8, 4, 16, 47, tzinfo=UTC)),
        ('"Wed, 08 Mar 2023 12:16:47 -0130"', datetime(2023, 3, 8, 13, 46, 47, tzinfo=UTC)),
        ('"08-Mar-2023 12:16:47 GMT"', datetime(2023, 3, 8, 12, 16, 47, tzinfo=UTC)),
        ('"08-Mar-2023 12:16:47 EST"', datetime(2023, 3, 8, 17, 16, 47, tzinfo=UTC)),
        ('"08-Mar-2023 12:16:47 +08:00"', datetime(2023, 3, 8, 4, 16, 47, tzinfo=UTC)),
        ('"08-Mar-2023 06:16:47 PM +0800"', RECEIVED),
        ('"08-Mar-2023 12:16:47"', datetime(2023, 3, 8, 12, 16, 47, tzinfo=UTC)),
        ('"08-Mar-2023 24:00:00 +0000"', datetime(2023, 3, 9, tzinfo=UTC)),
        ('"00-Jan-0000 00:00:00 +0000"', RECEIVED),
        ('"01-Jan-0001 00:00:00 +0000"', RECEIVED),
        ('"31-Feb-2024 00:00:00 +0000"', RECEIVED),
        ('"31-Dec-9999 23:59:59 -1200"', RECEIVED),
        ('"yesterday"', RECEIVED),
        ('""', RECEIVED),
        ("NIL", RECEIVED),
    ],
)
def test_no_mail_is_quarantined_for_its_date(
    account: Account, server: ScriptedImap, written: str, read: datetime
) -> None:
    received = b"Received: from a by b; Thu, 29 Feb 2024 11:30:00 +0100\r\n"
    older = b"Received: from c\r\n\tby a; Thu, 29 Feb 2024 09:00:00 +0100\r\n"
    server.mails = {1: Mail(received + older + mail(1), date=written)}
    sync(account)
    assert all_stored(account, server)
    assert Message.objects.get().received_at == MessagePlace.objects.get().received_at == read


def test_without_received_it_is_the_date_and_without_that_now(account: Account, server: ScriptedImap) -> None:
    server.mails = {1: Mail(mail(1), date="NIL"), 2: Mail(b"Subject: Bare\r\n\r\nText\r\n", date="NIL")}
    before = timezone.now()
    sync(account)
    assert Message.objects.get(subject="Mail 1").received_at == datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert before <= Message.objects.get(subject="Bare").received_at <= timezone.now()


# --- ID -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("offers_it", ["before", "after"])
def test_netease_opens_a_folder_after_id(account: Account, server: ScriptedImap, offers_it: str) -> None:
    server.capabilities = "IMAP4rev1 ID"
    known: set[object] = set()

    def say(talk: Talk, _tag: str, arguments: str) -> None:
        assert '"name"' in arguments
        known.add(talk.connection)

    def unsafe(talk: Talk, tag: str, _arguments: str) -> bool:
        if talk.connection in known:
            return False
        talk.say(f"{tag} NO EXAMINE Unsafe Login. Please contact kefu@188.com for help")
        return True

    server.faults["ID"], server.faults["EXAMINE"] = say, unsafe
    if offers_it == "after":
        greeted: set[object] = set()

        def only_then(talk: Talk, tag: str, _arguments: str) -> bool:
            if talk.connection in greeted:
                return False
            greeted.add(talk.connection)
            talk.say("* CAPABILITY IMAP4rev1", f"{tag} OK done")
            return True

        server.faults["CAPABILITY"] = only_then
    sync(account)
    assert all_stored(account, server)
    assert server.seen.count("ID") == 1


def test_a_server_that_refuses_id_is_synced_all_the_same(account: Account, server: ScriptedImap) -> None:
    def refuse(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say(f"{tag} BAD unknown command")
        return True

    server.capabilities, server.faults["ID"] = "IMAP4rev1 ID", refuse
    sync(account)
    assert all_stored(account, server)


def test_id_is_not_said_where_it_is_not_offered(account: Account, server: ScriptedImap) -> None:
    sync(account)
    assert "ID" not in server.seen


# --- The grammar, loosely -----------------------------------------------------------------------------------------
def test_double_blanks_blank_lines_and_small_letters_are_read_as_meant(account: Account, server: ScriptedImap) -> None:
    def examine(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say("*  3   exists", "", "* ok [uidvalidity 1]", "* OK  [UIDNEXT 4] next", f"{tag} OK")
        return True

    def search(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say("* search 1 2 3", "", f"{tag}  ok")
        return True

    def meta(talk: Talk, tag: str, arguments: str) -> bool:
        for uid in server.chosen(arguments.split(" ")[0]):
            size = server.mails[uid].size
            date = 'internaldate " 1-Mar-2024 12:00:00 +0000"'
            talk.say(f"*  {uid} fetch (rfc822.size {size} {date} uid {uid} flags (\\seen))", "")
        talk.say(f"{tag} OK ")
        return True

    def body(talk: Talk, tag: str, arguments: str) -> bool:
        for uid in server.chosen(arguments.split(" ")[0]):
            raw = server.mails[uid].raw
            talk.send(f"* {uid} fetch (uid {uid} body[] {{{len(raw)}}}\r\n".encode() + raw + b"\r\n)\r\n")
        talk.say(f"{tag} OK")
        return True

    server.faults = {"EXAMINE": examine, "SEARCH": search, "META": meta, "BODY": body}
    sync(account)
    assert all_stored(account, server)
    assert Message.objects.filter(seen=True).count() == 3


def test_lines_that_end_in_a_bare_line_feed_are_lines(account: Account, server: ScriptedImap) -> None:
    def examine(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.send(f"* 3 EXISTS\n* OK [UIDVALIDITY 1]\n* OK [UIDNEXT 4]\n{tag} OK done\n".encode())
        return True

    server.faults["EXAMINE"] = examine
    sync(account)
    assert all_stored(account, server)


@pytest.mark.parametrize("written", [r'"\\Seen" "\\Flagged"', r'"\Seen" \Flagged', r"\SEEN \flagged"])
def test_flags_in_quotes_are_the_flags(account: Account, server: ScriptedImap, written: str) -> None:
    server.mails = {1: Mail(mail(1), flags=written)}
    sync(account)
    place = MessagePlace.objects.get()
    assert (place.seen, place.flagged, place.keywords) == (True, True, [])


def test_flags_of_others_between_and_an_expunge_during_fetch(account: Account, server: ScriptedImap) -> None:
    def chatter(talk: Talk, _tag: str, _arguments: str) -> bool:
        talk.say("* 2 FETCH (FLAGS (\\Seen))", "* 3 FETCH (UID 3 FLAGS (\\Seen))", "* 9 EXPUNGE", "* 3 EXISTS")
        return False

    server.faults = {"META": chatter, "BODY": chatter}
    sync(account)
    assert all_stored(account, server)


def test_exists_that_shrinks_and_a_missing_uidnext(account: Account, server: ScriptedImap) -> None:
    server.uidnext = None
    sync(account)
    del server.mails[2]
    sync(account)
    assert all_stored(account, server)


def test_a_goodbye_in_the_middle_is_a_network_error_and_the_next_run_comes_through(
    account: Account, server: ScriptedImap
) -> None:
    def goodbye(talk: Talk, _tag: str, _arguments: str) -> bool:
        server.faults.clear()
        talk.say("*  bye Shutting down")
        talk.connection.close()
        return True

    server.faults["BODY"] = goodbye
    outcome = folder_sync.sync(account.pk)
    assert outcome.error_code == "network"
    assert "Shutting down" in outcome.error
    sync(account)
    assert all_stored(account, server)


# --- CONDSTORE ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("words", ["BAD Unknown parameter", "NO CONDSTORE is not supported"])
def test_condstore_that_is_offered_and_refused_is_left_out_and_remembered(
    account: Account, server: ScriptedImap, words: str
) -> None:
    asked: list[str] = []

    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        asked.append(arguments)
        if "CONDSTORE" not in arguments:
            return False
        talk.say(f"{tag} {words}")
        return True

    server.capabilities, server.faults["EXAMINE"] = "IMAP4rev1 CONDSTORE", refuse
    sync(account)
    assert all_stored(account, server)
    asked.clear()
    server.mails[4] = Mail(mail(4))
    sync(account)
    assert all_stored(account, server)
    assert not any("CONDSTORE" in each for each in asked)


@pytest.mark.parametrize("modseq", [2**63, 2**64 - 1, 2**70])
def test_a_mod_sequence_that_cannot_be_is_none(account: Account, server: ScriptedImap, modseq: int) -> None:
    server.capabilities, server.highestmodseq = "IMAP4rev1 CONDSTORE", modseq
    sync(account)
    sync(account)
    assert all_stored(account, server)
    assert SyncState.objects.get().highestmodseq is None


def test_other_numbers_that_cannot_be_end_no_run(account: Account, server: ScriptedImap) -> None:
    server.uidnext = 2**70
    server.mails[3].stated_size = 2**70
    sync(account)
    assert all_stored(account, server)
    server.uidvalidity = 2**70
    assert folder_sync.sync(account.pk).error_code == "provider"


# --- Folder names -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"Entw\xc3\xbcrfe", "Entwürfe"),
        (b"Entw\xfcrfe", "Entwürfe"),
        (b"R&D", "R&D"),
        (b"&AGE-bc", "&AGE-bc"),
        (b"Entw&APw-rfe", "Entwürfe"),
        (b"R&-D", "R&D"),
    ],
)
def test_a_folder_is_opened_by_the_name_that_the_server_wrote(
    account: Account, server: ScriptedImap, written: bytes, shown: str
) -> None:
    server.listed.append(b'() "/" "' + written + b'"')
    server.boxes = {written.decode("latin-1"): Box({5: Mail(mail(5))})}
    listed = {folder.name for folder in folder_sync.discover_folders(account.pk)}
    assert listed == {"INBOX", shown}
    sync(account, shown)  # on a connection that has listed nothing
    assert ("&" + shown, 5) not in stored(account)
    assert {(folder, uid) for folder, uid, _ in stored(account)} == {(shown, 5)}
    folder_sync.discover_folders(account.pk)
    assert Folder.objects.get(name=shown).gone_at is None


def test_nil_is_no_folder(account: Account, server: ScriptedImap) -> None:
    server.listed += ['() "/" NIL', '(\\Noselect) "/" Parent', '() NIL "Flat"', '() "." "A.B"', '() "/" "NIL"']
    found = {folder.name: folder for folder in folder_sync.discover_folders(account.pk)}
    assert set(found) == {"INBOX", "Parent", "Flat", "A.B", "NIL"}
    assert not found["Parent"].selectable
    assert (found["A.B"].delimiter, found["Flat"].delimiter) == (".", "")


def test_a_name_that_came_as_a_literal(account: Account, server: ScriptedImap) -> None:
    server.listed.append(b'() "/" {6}\r\nLetter')
    assert {folder.name for folder in folder_sync.discover_folders(account.pk)} == {"INBOX", "Letter"}


@pytest.mark.parametrize("answer", ['(("" "/")) NIL (("#shared/" "/"))', '(("" "/")) (("#shared/" "/")) NIL'])
def test_shared_folders_that_list_leaves_out_are_found(account: Account, server: ScriptedImap, answer: str) -> None:
    server.capabilities = "IMAP4rev1 NAMESPACE"

    def namespace(talk: Talk, _tag: str, _arguments: str) -> None:
        talk.say(f"* NAMESPACE {answer}")

    def listing(talk: Talk, tag: str, arguments: str) -> bool:
        if "#shared" not in arguments:
            return False
        talk.say('* LIST () "/" "#shared/Team"', f"{tag} OK done")
        return True

    server.faults = {"NAMESPACE": namespace, "LIST": listing}
    server.boxes = {"#shared/Team": Box({5: Mail(mail(5))})}
    assert {folder.name for folder in folder_sync.discover_folders(account.pk)} == {"INBOX", "#shared/Team"}
    sync(account, "#shared/Team")
    assert {folder for folder, _, _ in stored(account)} == {"#shared/Team"}


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
        "Application-specific password required",
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
        if not bad.intersection(server.chosen(arguments.split(" ")[0])):
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


# --- ALERT --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("step", ["LOGIN", "EXAMINE", "SEARCH", "META"])
def test_an_alert_is_shown_on_the_accounts_page(
    account: Account, server: ScriptedImap, client: Client, make_user: Callable[..., User], step: str
) -> None:
    def alert(talk: Talk, _tag: str, _arguments: str) -> bool:
        talk.say("* OK [ALERT] Mailbox is at 98% of <b>quota</b>")
        return False

    server.mails = {uid: Mail(mail(uid)) for uid in range(1, 4)}
    server.faults[step] = alert
    sync(account)
    client.force_login(make_user("viewer"))
    page = client.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    assert "Mailbox is at 98% of &lt;b&gt;quota&lt;/b&gt;" in page
    account.imap.refresh_from_db()
    assert account.imap.alerted_at


@pytest.mark.parametrize("reply", ["NO [ALERT] Sign in at <b>web</b> first", "NO [AUTHENTICATIONFAILED] No."])
def test_an_alert_at_a_refused_sign_in_is_shown_too(
    account: Account, server: ScriptedImap, client: Client, make_user: Callable[..., User], reply: str
) -> None:
    def refuse(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say("* OK [ALERT] Sign in at <b>web</b> first", f"{tag} {reply}")
        return True

    server.faults["LOGIN"] = refuse
    assert folder_sync.sync(account.pk).error_code == "sign_in"
    client.force_login(make_user("viewer"))
    page = client.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    assert page.count("asked to show this") == 1 and "Sign in at &lt;b&gt;web&lt;/b&gt; first" in page
