"""One account with much mail waiting does not keep the others from theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from django.test import override_settings
from django.utils import timezone

from mailbox.models import Account, Folder, Message, SyncRun, SyncState
from mailbox.scheduler import account_turn, report, runner
from mailbox.scheduler.account_queue import DueAccounts, SyncJob, next_accounts
from mailbox.scheduler.runner import run_share, run_sync
from mailbox.sync import folder_sync
from mailbox.sync.outcome import SyncOutcome
from tests.mailbox.sync.quiet import due_jobs
from tests.rows import letter
from tests.servers.certificates import Certificates
from tests.servers.imap_script import HangUp, Mail, ScriptedImap

WAITING = 5000


@pytest.fixture
def servers(certificates: Certificates) -> Iterator[Callable[[int], ScriptedImap]]:
    started: list[ScriptedImap] = []

    def start(count: int) -> ScriptedImap:
        server = ScriptedImap(certificates).start()
        raw = letter("No. 0", Message_ID="<0@example.com>")
        for uid in range(1, count + 1):
            number = str(uid).encode()
            server.mails[uid] = Mail(raw.replace(b"No. 0", b"No. " + number).replace(b"<0@", b"<" + number + b"@"))
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def account_on(make_account: Callable[..., Account], certificates: Certificates) -> Callable[..., Account]:
    def make(server: ScriptedImap, **fields: Any) -> Account:
        where = {"imap_host": "localhost", "imap_port": server.port, "smtp_host": "localhost", "smtp_port": 1}
        account = make_account(**where, ca_certificate=certificates.ca_pem, **fields)
        Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
        return account

    return make


def count(account: Account) -> int:
    return Message.objects.filter(account=account).count()


@pytest.mark.django_db(transaction=True)
@pytest.mark.long
def test_five_thousand_waiting_delay_the_others_by_no_more_than_a_turn(
    servers: Any, account_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where one is served at a time, and it stands first."""
    monkeypatch.setattr(runner, "TURN_SECONDS", 0.5)
    large, *small = [account_on(servers(number)) for number in (WAITING, 1, 2)]
    at_first: list[int] = []
    add = report.RunReport.add

    def watched(self: Any, account_id: int, name: str, outcome: Any) -> None:
        add(self, account_id, name, outcome)
        if account_id == small[-1].pk:
            at_first.append(count(large))

    monkeypatch.setattr(report.RunReport, "add", watched)
    with override_settings(SYNC_MAX_CONCURRENCY=1):
        run_sync([SyncJob(account.pk) for account in (large, *small)], 20)
    assert [count(account) for account in small] == [1, 2]
    assert at_first[0] < WAITING
    assert count(large) > at_first[0]  # and then it went on


@pytest.mark.django_db(transaction=True)
def test_a_folder_with_more_waiting_is_due_again_at_once_and_behind_those_who_wait_longer(
    servers: Any, account_on: Any
) -> None:
    large, small = account_on(servers(300)), account_on(servers(1))
    now = timezone.now()
    run_sync([SyncJob(large.pk)], 0, now=now)
    state = SyncState.objects.get(account=large)
    assert (state.more_waiting, state.next_allowed_at) == (True, None)
    assert [job.account_id for job in due_jobs(now)] == [small.pk, large.pk]
    run_sync([SyncJob(small.pk)], 0, now=now + timedelta(seconds=1))
    assert [job.account_id for job in due_jobs(now + timedelta(seconds=1))] == [large.pk, small.pk]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("backoff_over", "mails_before_it"), [(50, 1), (70, 0)])
def test_a_server_that_hangs_is_asked_behind_those_that_answer_until_it_has_waited_longer(
    servers: Any, account_on: Any, backoff_over: int, mails_before_it: int
) -> None:
    """It was tried six minutes ago, they a minute ago: by these times it would be first, and hold the connection."""
    hanging, good = servers(0), account_on(servers(1))
    stored: list[int] = []

    def hang(*_: Any) -> NoReturn:
        stored.append(count(good))
        raise HangUp  # what a time-out does, at once

    hanging.faults["GREETING"] = hang
    now, accounts = timezone.now(), (account_on(hanging), good)
    for account, tried, over in zip(accounts, (360, 60), (backoff_over, None), strict=True):
        SyncState.objects.create(
            account=account,
            folder=account.folders.get(),
            last_attempt_at=now - timedelta(seconds=tried),
            next_allowed_at=over and now - timedelta(seconds=over),
        )
    assert len(next_accounts(now, now)) == 2
    run = report.RunReport.begin(SyncRun.Trigger.SCHEDULE, None, now).run
    run_share(run, DueAccounts(now, 0, 1, 25), 60, [nullcontext()])
    assert stored == [mails_before_it]
    assert count(good) == 1


@pytest.mark.django_db(transaction=True)
def test_new_accounts_of_one_tick_are_taken_in_side_by_side_within_the_bound(
    servers: Any, account_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are claimed at once; three are connected at one instant, and no more."""
    server, at_work, lock = servers(3), list[int](), threading.Lock()
    accounts = [account_on(server) for _ in range(7)]
    together, most = threading.Barrier(3), list[int]()
    sync_folder = folder_sync.sync_folder

    def watched(session: Any, *args: Any, **kwargs: Any) -> Any:
        with lock:
            at_work.append(session.account.pk)
            most.append(len(at_work))
            is_early = len(most) <= 3
        if is_early:
            together.wait(60)  # broken, and an error in the report, unless three are here at once
        try:
            return sync_folder(session, *args, **kwargs)
        finally:
            with lock:
                at_work.remove(session.account.pk)

    monkeypatch.setattr(folder_sync, "sync_folder", watched)
    with override_settings(SYNC_MAX_CONCURRENCY=3):
        run = run_sync([SyncJob(account.pk) for account in accounts], 60)
    assert (run.succeeded, max(most)) == (7, 3)
    assert [count(account) for account in accounts] == [3] * 7


@pytest.mark.django_db(transaction=True)
def test_news_of_push_during_a_long_turn_go_first(
    servers: Any, account_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync that push queued finds the account busy and leaves it to the one that runs."""
    monkeypatch.setattr(account_turn, "NEWS_AFTER_SECONDS", 0)
    account = account_on(servers(3))
    other = Folder.objects.create(account=account, name="Lists", sync_enabled=True)
    looked: list[str] = []
    sync_folder = folder_sync.sync_folder

    def watched(session: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        looked.append(name)
        if name == "Lists" and len(looked) == 2:
            SyncState.objects.filter(account=account, folder__name="INBOX").update(news_at=timezone.now())
        return (
            sync_folder(session, "INBOX", *args, **kwargs)
            if name == "INBOX"
            else SyncOutcome(more_waiting=len(looked) < 6)
        )

    monkeypatch.setattr(folder_sync, "sync_folder", watched)
    run_sync([SyncJob(account.pk), SyncJob(account.pk, other.name)], 10)
    assert looked[:3] == ["INBOX", "Lists", "INBOX"]
    assert looked.count("INBOX") == 2
    assert SyncState.objects.get(account=account, folder__name="INBOX").news_at is None


@pytest.mark.django_db(transaction=True)
def test_on_gmail_news_of_inbox_during_a_long_turn_is_fetched_from_all_mail_first(
    servers: Any, account_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_turn, "NEWS_AFTER_SECONDS", 0)
    monkeypatch.setattr(account_turn, "listing_is_due", lambda *_: False)  # this server has no such folders
    account, folders = account_on(servers(3)), dict[str, Folder]()
    for name, use in (("[Gmail]/All Mail", "\\All"), ("[Gmail]/Spam", "\\Junk")):
        folders[use] = Folder.objects.create(account=account, name=name, special_use=use, sync_enabled=True)
        SyncState.objects.create(account=account, folder=folders[use])
    Folder.objects.filter(account=account, name="INBOX").update(is_label=True, sync_enabled=False)
    looked: list[str] = []
    news = SyncState.objects.filter(folder=folders["\\All"])

    def watched(session: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        looked.append(name)
        news.update(news_at=timezone.now() if len(looked) == 2 else None)
        return SyncOutcome(more_waiting=len(looked) < 6 and name == "[Gmail]/Spam")

    monkeypatch.setattr(folder_sync, "sync_folder", watched)
    run_sync([SyncJob(account.pk, each.name) for each in folders.values()], 10)
    assert looked[:4] == ["[Gmail]/All Mail", "[Gmail]/Spam", "[Gmail]/All Mail", "[Gmail]/Spam"]
