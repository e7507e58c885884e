"""When an account is left alone: what its server said stays in sight, and how many connections it has."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.accounts import health
from mailbox.models import Account, Folder, Lease, SyncRun, SyncState
from mailbox.scheduler import account_queue, runner
from mailbox.sync import account_session, folder_sync
from outbox import connection_test
from tests.mailbox.sync.quiet import due_jobs
from tests.mailbox.sync.scripted_account import account
from tests.mailbox.sync.synced import mail
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Mail, ScriptedImap, Talk

__all__ = ["account"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {1: Mail(mail(1))}).start()
    yield server
    server.stop()


def saying(words: str) -> Callable[[Talk, str, str], bool]:
    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say(f"{tag} {words}")
        return True

    return refuse


def imap_of(account: Account) -> Any:
    account.imap.refresh_from_db()
    return account.imap


def said_of(account: Account) -> health.AccountNotice:
    row = Account.objects.with_transports().prefetch_related(health.chosen_folders()).get(pk=account.pk)
    return health.conditions(row, row.chosen_folders, timezone.now())[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("step", ["LOGIN", "EXAMINE", "SEARCH", "BODY"])
def test_over_quota_pauses_the_account_for_an_hour_in_the_servers_words(
    account: Account, server: ScriptedImap, step: str
) -> None:
    server.faults[step] = saying("NO [OVERQUOTA] Bandwidth used up for today")
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "quota")
    wait = imap_of(account).next_allowed_at - timezone.now()
    assert wait > timedelta(seconds=account_session.QUOTA_PAUSE_SECONDS - 60)
    condition = said_of(account)
    assert (condition.tone, condition.label) == ("needs", "over its quota")
    assert "Bandwidth used up" in condition.reply
    assert due_jobs(timezone.now()) == []
    server.faults.clear()
    assert folder_sync.sync(account.pk).ok
    assert imap_of(account).next_allowed_at is None


@pytest.mark.parametrize("step", ["LOGIN", "EXAMINE", "BODY"])
@pytest.mark.parametrize(
    ("words", "least", "most"),
    [
        ("NO [UNAVAILABLE] later", 1, 30),
        ("NO [INUSE] another session", 1, 30),
        ("NO [LIMIT] too many commands", 1, 30),
        ("BAD User is authenticated but not connected.", 1, 30),
        ("NO Request is throttled. Suggested Backoff Time: 299904 milliseconds", 299, 700),
    ],
)
def test_a_server_that_asks_to_wait_is_left_alone_as_long_as_it_says(
    account: Account, server: ScriptedImap, words: str, least: float, most: float, step: str
) -> None:
    server.faults[step] = saying(words)
    outcome = folder_sync.sync(account.pk)
    if step == "BODY" and words.startswith(("NO [UNAVAILABLE]", "NO [LIMIT]")):
        # Of the folder's only message this is said of the message; test_odd_servers has a server that refuses all.
        assert (outcome.ok, outcome.quarantined) == (True, 1)
        assert imap_of(account).next_allowed_at is None
        return
    assert outcome.error_code == "throttled"
    imap = imap_of(account)
    assert imap.needs_sign_in_since is None
    assert least <= (imap.next_allowed_at - timezone.now()).total_seconds() <= most


def test_the_words_of_a_refused_sign_in_stay_whatever_the_weather(account: Account, server: ScriptedImap) -> None:
    server.faults["LOGIN"] = saying("NO [AUTHENTICATIONFAILED] Your password has expired.")
    folder_sync.sync(account.pk)
    server.faults["LOGIN"] = saying("NO [UNAVAILABLE] later")
    folder_sync.sync(account.pk)
    server.stop()
    folder_sync.sync(account.pk)
    imap = imap_of(account)
    assert "Your password has expired" in imap.last_reply
    assert imap.next_allowed_at is not None
    imap.mark_signed_in()
    assert imap_of(account).last_reply == ""
    imap.mark_unavailable("gone fishing", timezone.now())
    assert imap_of(account).last_reply == "gone fishing"


def test_a_run_leaves_the_other_folders_of_an_account_over_quota(account: Account, server: ScriptedImap) -> None:
    for name in ("INBOX", "Other"):
        Folder.objects.create(account=account, name=name, sync_enabled=True)
    Account.objects.update(folders_listed_at=timezone.now())
    server.faults["EXAMINE"] = saying("NO [OVERQUOTA] enough")
    run = runner.run_sync(account_queue.jobs_of(account.pk), 0, trigger=SyncRun.Trigger.COMMAND)
    assert (run.attempted, server.seen.count("EXAMINE")) == (1, 1)


def test_a_stopped_folder_is_told_and_an_operator_lets_it_go_on(
    account: Account, client: Client, make_user: Callable[..., User]
) -> None:
    folder = Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    SyncState.objects.create(account=account, folder=folder, stopped_at=timezone.now(), renumbered_count=5)
    condition = said_of(account)
    assert (condition.tone, condition.label, condition.remedy) == ("needs", "folder stopped", "go_on")
    url = reverse("mailbox:account_go_on", args=[account.pk])
    client.force_login(make_user("operator"))
    page = client.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    assert url in page
    assert url in client.get(reverse("dashboard")).content.decode()
    shown = re.search('name="shown_at" value="([^"]+)"', page)
    before = (timezone.now() - timedelta(minutes=1)).isoformat()
    for answer in ({"shown_at": before}, {}):  # pages that showed an earlier stop, or none
        assert "stays stopped" in client.post(url, answer, follow=True).content.decode()
    assert shown and client.post(url, {"shown_at": shown[1]}).status_code == 302
    state = SyncState.objects.get()
    assert (state.stopped_at, state.renumbered_count) == (None, 0)
    assert said_of(account).label != "folder stopped"


def test_a_connection_test_waits_for_the_third_connection(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_test, "WAIT_SECONDS", 0)
    assert Lease.acquire(account.pk, Lease.Purpose.SENT, "another", seconds=60, now=timezone.now())
    with pytest.raises(Exception, match="try again when it is done"):
        connection_test._imap_words(account)
    Lease.objects.all().delete()
    assert connection_test._imap_words(account)
    assert not Lease.objects.exists()
