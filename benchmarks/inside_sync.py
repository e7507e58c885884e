"""Run inside an installation, by Site.inside(): accounts, one sync, a round, and what is stored and found."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from mailbox.accounts.create import TransportFields, create_account
from mailbox.models import Account, Folder, MessagePlace, PushHeartbeat, SyncRun, SyncState, WorkerHeartbeat
from mailbox.models.installation_health import WORKER_SILENT_AFTER
from mailbox.queueing import queue
from mailbox.scheduler.account_queue import jobs_of
from mailbox.scheduler.runner import run_sync
from mailbox.search.results import search
from mailbox.storage import raw_store
from mailbox.tasks import sync as sync_tasks

LOOK_EVERY = 0.05
SYNC_TICK = "mailbox.tasks.sync_tick"
READ_BACK = 500


def make_account(email: str, imap_port: int, smtp_port: int, password: str, ca_pem: str, **switches: Any) -> int:
    """Add an account as the page and the command do; INBOX is chosen. `switches`: fields of Account."""
    account = create_account(
        email,
        TransportFields("localhost", imap_port, email, "tls", password),
        TransportFields("localhost", smtp_port, email, "starttls", password),
        ca_certificate=ca_pem,
    )
    Account.objects.filter(pk=account.pk).update(**switches)
    return account.pk


def wait_for_workers(pid: int, seconds: float = 60) -> None:
    """Until a worker of the cluster with this pid has run its first task."""
    end = time.monotonic() + seconds
    while not WorkerHeartbeat.objects.filter(cluster_pid__gte=pid).exists():
        if time.monotonic() > end:
            raise TimeoutError("The workers did not start.")
        time.sleep(LOOK_EVERY)


def places(email: str) -> list[tuple[str, int, str]]:
    """What is stored of an account: folder, UID, SHA-256. Of some the bytes are read back and digested again."""
    rows = MessagePlace.objects.present().filter(folder__account__email=email, is_complete=True)
    found = list(rows.values_list("folder__name", "uid", "raw_digest"))
    for _, _, digest in found[:: max(len(found) // READ_BACK, 1)]:
        raw_store.open_raw(digest)  # raises when the bytes are not those
    return found


def found(words: list[str]) -> list[int]:
    """How many messages each search finds, at most 500."""
    user, _ = User.objects.get_or_create(username="bench", defaults={"is_superuser": True})
    return [len(search(user, word, limit=500).rows) for word in words]


def sync_once(account_id: int) -> float:
    """Seconds of one round over the account's chosen folders."""
    begin = time.monotonic()
    run = run_sync(jobs_of(account_id), 0)
    seconds = time.monotonic() - begin
    if run.failed or run.attempted != 1:
        raise RuntimeError(f"The sync failed: {list(run.folders.values_list('error', flat=True))}")
    return seconds


def sync_all(account_id: int) -> float:
    """Seconds until nothing is left of the account."""
    begin = time.monotonic()
    run = run_sync(jobs_of(account_id), inf)
    if run.failed:
        raise RuntimeError(f"The sync failed: {list(run.folders.values_list('error', flat=True))}")
    return time.monotonic() - begin


def stored_count(account_id: int) -> int:
    """How many messages of this account's folders are stored and not gone from the server."""
    return MessagePlace.objects.present().filter(folder__account_id=account_id).count()


def stored_of_all() -> int:
    """The same of all accounts."""
    return MessagePlace.objects.present().count()


def click_and_wait(wanted: dict[str, int], seconds: float) -> float:
    """Press "Sync now" for each account and return the seconds until all of their messages are stored.

    `wanted`: the number of messages by account id. The workers run elsewhere.
    """
    left = {int(account_id): count for account_id, count in wanted.items()}
    begin = time.monotonic()
    for account_id in left:
        sync_tasks.queue_sync(account_id, None)
    while left:
        if time.monotonic() - begin > seconds:
            raise TimeoutError(f"After {seconds} s messages were missing of the accounts {list(left)}.")
        time.sleep(LOOK_EVERY)
        left = {account_id: count for account_id, count in left.items() if not _has(account_id, count)}
    return time.monotonic() - begin


def _has(account_id: int, count: int) -> bool:
    # Counting takes the cores from those who work: it waits until a run says that it is through.
    through = SyncState.objects.filter(account_id=account_id, folder__name="INBOX", last_success_at__isnull=False)
    return through.filter(more_waiting=False).exists() and stored_count(account_id) >= count


def make_accounts(emails: list[str], **fields: object) -> list[int]:
    """make_account() for each address; returns their pks."""
    return [make_account(email, **fields) for email in emails]  # type: ignore[arg-type]


def only_our_ticks() -> None:
    """The workers begin no round by the clock while one is measured."""
    Schedule.objects.filter(func=SYNC_TICK).update(repeats=0)


def ticks_again() -> None:
    """Let the schedule of syncs run again, at once."""
    Schedule.objects.filter(func=SYNC_TICK).update(repeats=-1, next_run=timezone.now() - timedelta(hours=1))


def round_by_workers(seconds: float = 600) -> float:
    """Queue a tick; seconds until the workers, which run elsewhere, have looked at every account and ended the run.

    A tick has a minute. Where that was not enough another one follows at once, as one does each minute; it begins with
    the accounts that were left, and the time ends with the last of these. All runs are waited for: a heartbeat that
    finds a lease lapsed, as on a busy machine, has a tick of its own, and its run may end before the one measured.
    """
    _wait_until(_is_quiet, seconds)
    begin, now = time.monotonic(), timezone.now()
    _wait_for_tick(seconds)
    while _left(now):
        if time.monotonic() - begin > seconds:
            raise RuntimeError(f"{_left(now)} folders were not looked at in {seconds:.0f} s.")
        _wait_for_tick(seconds, lambda: not _left(now))
    return time.monotonic() - begin


def _wait_for_tick(seconds: float, or_until: Callable[[], bool] = lambda: False) -> None:
    now = timezone.now()
    queue(SYNC_TICK, group="sync")
    _wait_until(lambda: or_until() or (SyncRun.objects.filter(started_at__gte=now).exists() and _is_quiet()), seconds)


def _left(since: datetime) -> int:
    """How many folders that are due were not looked at."""
    return Folder.objects.due(since).count() - SyncState.objects.filter(last_success_at__gte=since).count()


def wait_until_quiet(seconds: float) -> None:
    """Wait until the workers have nothing to do. Raises TimeoutError after so many seconds."""
    _wait_until(_is_quiet, seconds)


def wait_for_connected(count: int, seconds: float) -> None:
    """Until push hears of so many accounts."""
    _wait_until(lambda: len(PushHeartbeat.connected(timezone.now())) == count, seconds)


def seconds_to_row(email: str, count: int, seconds: float) -> float:
    """Until so many messages of the account are stored."""
    begin = time.monotonic()
    stored = MessagePlace.objects.present().filter(folder__account__email=email)
    _wait_until(lambda: stored.count() >= count, seconds)
    return time.monotonic() - begin


def _is_quiet() -> bool:
    return not SyncRun.objects.filter(finished_at=None).exists() and not OrmQ.objects.exists()


def wait_for_look(seconds: float) -> None:
    """Until an account was looked at since now."""
    now = timezone.now()
    _wait_until(lambda: SyncState.objects.filter(last_success_at__gte=now).exists(), seconds)


def seconds_until_silent() -> float:
    """After which a cluster that was stopped counts no more."""
    return WORKER_SILENT_AFTER.total_seconds() if WorkerHeartbeat.objects.alive(timezone.now()).count() > 1 else 0


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"It was not so within {seconds} s.")
        time.sleep(LOOK_EVERY)


def account_ids() -> list[int]:
    """The pks of all accounts."""
    return list(Account.objects.order_by("pk").values_list("pk", flat=True))
