"""A clock that was ahead, or that jumps, locks nothing for as long and removes nothing."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from mailbox import deletions
from mailbox.exports import writing
from mailbox.leases.keep_alive import LEASE_SECONDS
from mailbox.models import (
    Account,
    Counter,
    DeletionLook,
    Export,
    Folder,
    LaterReading,
    Lease,
    Message,
    ProcessHeartbeat,
    RawMessage,
    SyncRun,
    SyncState,
    WorkerHeartbeat,
)
from mailbox.models.leases import LONGEST_SECONDS
from mailbox.scheduler import report
from mailbox.storage import out_of_reach, partial_files, raw_store
from mailbox.sync import flags_and_expunges, folders
from mailbox.sync.account_session import backoff_wait
from mailbox.tasks import sync as sync_tasks
from tests.mailbox.sync.quiet import due_jobs
from tests.rows import NOWHERE, letter, looked_yesterday, store

pytestmark = pytest.mark.django_db
YEAR, DAY = timedelta(days=365), timedelta(days=1)
Purpose = Lease.Purpose


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account(**NOWHERE)


def acquire(account: Account, purpose: str, now: datetime, seconds: float = 300) -> str | None:
    return Lease.acquire(account.pk, purpose, "host/1", seconds=seconds, now=now)


# --- Leases -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_lease_taken_by_a_clock_that_was_ahead_is_none(account: Account, purpose: str) -> None:
    now = timezone.now()
    ahead = acquire(account, purpose, now + YEAR)
    assert ahead
    assert acquire(account, purpose, now)
    assert not Lease.renew(account.pk, purpose, ahead, seconds=300, now=now + YEAR)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_no_honest_lease_is_taken_away(account: Account, purpose: str) -> None:
    now = timezone.now()
    token = acquire(account, purpose, now, seconds=100 * LONGEST_SECONDS)
    assert token
    assert acquire(account, purpose, now) is None
    assert Lease.renew(account.pk, purpose, token, seconds=100 * LONGEST_SECONDS, now=now)
    assert acquire(account, purpose, now) is None
    assert acquire(account, purpose, now + timedelta(seconds=LONGEST_SECONDS + 1))


def test_the_lease_of_a_sync_is_shorter_than_the_longest() -> None:
    assert LEASE_SECONDS < LONGEST_SECONDS


# --- Waits --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("ahead", "is_due"), [(timedelta(hours=20), False), (YEAR, True)])
def test_a_wait_longer_than_any_is_cut(account: Account, ahead: timedelta, is_due: bool) -> None:
    now = timezone.now()
    folder = Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    state = SyncState.objects.create(account=account, folder=folder, next_allowed_at=now + ahead)
    assert bool(due_jobs(now)) is is_due
    SyncState.objects.filter(pk=state.pk).update(next_allowed_at=None)
    account.imap.mark_unavailable("wait", now + ahead)
    assert bool(due_jobs(now)) is is_due


def test_an_account_without_folders_too(account: Account) -> None:
    now = timezone.now()
    account.imap.mark_unavailable("wait", now + YEAR)
    assert due_jobs(now)
    account.imap.mark_unavailable("wait", now + timedelta(hours=1))
    assert not due_jobs(now)


def test_a_server_that_asks_for_a_year_gets_a_day() -> None:
    assert backoff_wait(0, YEAR.total_seconds()) <= DAY.total_seconds()
    assert backoff_wait(0, 7200) >= 7200


def test_what_was_last_done_in_the_future_is_due(account: Account) -> None:
    now = timezone.now()
    state = SyncState(account=account, compared_at=now + YEAR)
    status: Any = type("Status", (), {"highestmodseq": None})()
    assert flags_and_expunges.comparison_is_due(state, status, now)
    account.folders_listed_at = now + YEAR
    assert folders.listing_is_due(account, now)


def test_what_a_worker_left_tomorrow_is_taken_up_now(account: Account) -> None:
    now, reading = timezone.now(), LaterReading.Purpose.REPORT
    LaterReading.objects.create(message=store(account, letter()), account=account, purpose=reading, begun_at=now + DAY)
    run = SyncRun.objects.create(seen_at=now + DAY)
    export = Export.objects.create(form="zip", moved_at=now + DAY)
    assert LaterReading.objects.left(now).exists()
    assert report.end_abandoned(now) == 1
    assert SyncRun.objects.get(pk=run.pk).finished_at == now
    assert writing.stalled(export.what, now) == [export.pk]


def test_a_heartbeat_of_the_future_is_no_sign_of_life_and_is_removed() -> None:
    now = timezone.now()
    says: dict[str, Any] = {"host": "web2", "started_at": now, "seen_at": now + YEAR}
    worker = WorkerHeartbeat.objects.create(cluster_pid=1, **says)
    process = ProcessHeartbeat(role="web", pid=2, silent_at=now + YEAR, **says)
    process.save()
    assert not WorkerHeartbeat.objects.alive(now).exists()
    assert not worker.is_recent(worker.seen_at, now)
    assert not process.is_alive(now)
    assert not out_of_reach.others_work(now)
    sync_tasks._prune(now)
    assert not (WorkerHeartbeat.objects.exists() or ProcessHeartbeat.objects.exists())


# --- Deletions ----------------------------------------------------------------------------------------------------
@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Set this machine's clock and the database's ahead; by default they are one."""
    truth = timezone.now

    def ahead(host: timedelta, database: timedelta | None = None) -> None:
        monkeypatch.setattr(timezone, "now", lambda: truth() + host)
        both = host if database is None else database
        monkeypatch.setattr(deletions, "database_now", lambda: truth() + both)

    ahead(timedelta(0))
    return ahead


@pytest.fixture
def gone(account: Account) -> Message:
    """A mail that was expunged a moment ago."""
    message = store(account, letter())
    now = timezone.now()
    message.places.update(gone_at=now)
    Message.objects.filter(pk=message.pk).update(gone_at=now)
    return message


def remove() -> None:
    for task in (sync_tasks.remove_expunged, sync_tasks.sweep_raw, sync_tasks.prune):
        task()


def test_a_clock_that_jumps_a_year_removes_nothing(gone: Message, clock: Callable[..., None]) -> None:
    Counter.objects.create(account=gone.account, name="sends", hour=timezone.now())
    looked_yesterday()
    clock(2 * YEAR)
    remove()
    clock(timedelta(0))
    remove()
    assert Message.objects.filter(pk=gone.pk).exists()
    assert raw_store.open_raw(gone.raw_digest)
    assert Counter.objects.exists()


def test_nor_does_one_that_differs_from_the_databases(gone: Message, clock: Callable[..., None]) -> None:
    for day in (2 * YEAR, 2 * YEAR + DAY, 2 * YEAR + 2 * DAY):
        clock(day, day - 2 * YEAR)
        remove()
    assert Message.objects.filter(pk=gone.pk).exists()


def test_two_looks_a_day_apart_remove_what_is_old(gone: Message, clock: Callable[..., None]) -> None:
    clock(31 * DAY)
    remove()
    assert Message.objects.filter(pk=gone.pk).exists()
    clock(31 * DAY + timedelta(hours=1))  # by hand, or twice by mistake: the look of today stands
    remove()
    assert Message.objects.filter(pk=gone.pk).exists()
    clock(32 * DAY)
    remove()
    assert not Message.objects.filter(pk=gone.pk).exists()
    clock(33 * DAY)
    remove()
    assert not RawMessage.objects.exists()


def test_parts_of_large_messages_wait_as_well(settings: Any, tmp_path: Any, clock: Callable[..., None]) -> None:
    settings.DATA_DIR = tmp_path
    file = partial_files.PartialFile.of(1, 2, 3, 4, None)
    file.put(0, b"x")
    clock(YEAR)
    sync_tasks.sweep_raw()
    assert file.length() == 1
    assert DeletionLook.objects.filter(name="raw store").exists()


def test_the_databases_clock_is_asked() -> None:
    assert abs(deletions.database_now() - timezone.now()) < timedelta(minutes=5)


def test_the_operator_finds_the_list_in_the_manual() -> None:
    from django.conf import settings as given

    manual = (given.BASE_DIR / "docs/operations.md").read_text(encoding="utf-8")
    assert all(name in manual for name in deletions.BY_AGE)
