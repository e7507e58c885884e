"""The tasks of sync, heartbeats and daily removal. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.dispatch import receiver
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Failure
from django_q.signals import pre_execute

from mailbox import deletions, network, process_heartbeats
from mailbox.autoconfig import lookup as autoconfig_lookup
from mailbox.clocks import is_stale
from mailbox.db import sqlite_statistics
from mailbox.errors import MailError
from mailbox.host_slots import take_slots
from mailbox.logs import event, provider_words, this_host
from mailbox.messages import purge
from mailbox.models import (
    Account,
    Counter,
    DatabaseFailure,
    Folder,
    Lease,
    ProcessHeartbeat,
    PushHeartbeat,
    StoreMiss,
    SyncRun,
    SyncState,
    WorkerHeartbeat,
)
from mailbox.queueing import queue
from mailbox.scheduler import account_queue, report, runner
from mailbox.search.index import sweep_words
from mailbox.storage import disk_budget, installations, partial_files, store_check, sweeping, table_sizes
from mailbox.storage.durable_files import store_folder
from mailbox.storage.usage import free_percent
from mailbox.sync import folder_sync

logger = logging.getLogger(__name__)
REPORTS_KEPT = timedelta(days=14)
FAILURES_KEPT = timedelta(days=14)
HEARTBEATS_KEPT = timedelta(days=1)
COUNTERS_KEPT = timedelta(days=400)
TICK = timedelta(seconds=60)
BEAT_SECONDS = 25.0
_said_alive_at = float("-inf")
CLICK_BUDGET_SECONDS = 120  # for a sync that a person waits for; the next ticks fetch the rest
CLICK_WAIT_SECONDS = 60  # longest wait for the account's lease
PUSH_WAIT_SECONDS = 1  # likewise; another sync may be signing out at this moment
MOST_PASSES, PASS_SECONDS = 5, 0.1


def queue_sync(account_id: int, user_id: int | None) -> None:
    """Queue a sync of the account's chosen folders that a person asked for, once the current transaction has committed.

    `sync_asked_at` is set until a worker begins, so that a lost task is queued again (requeue_unstarted).
    """
    Account.objects.filter(pk=account_id).update(sync_asked_at=timezone.now())
    queue("mailbox.tasks.sync_account", account_id, user_id, group="sync")


def queue_pushed_sync(account_id: int) -> None:
    """Queue a sync of the folders that the account's server reported changes of (IDLE)."""
    queue("mailbox.tasks.sync_pushed", account_id, group="sync")


def queue_folder_listing(account_id: int) -> None:
    """Queue the listing of the account's folders, once the current transaction has committed."""
    Account.objects.filter(pk=account_id).update(listing_asked_at=timezone.now())
    queue("mailbox.tasks.list_folders", account_id, group="sync")


def may_fetch() -> bool:
    """Whether the network is on, the raw store works and the disk has room. Mail that is not fetched stays on its
    server."""
    return not network.is_off() and store_check.is_usable() and not disk_budget.is_spent()


def sync_tick(is_extra: bool = False) -> None:
    """Every minute: queue shares of a round for as many workers of all hosts as may sync at once; run the first share.

    `is_extra`: a round between two ticks, of accounts that were not tried within the last minute.
    """
    now = timezone.now()
    since = now - TICK if is_extra else now
    if not may_fetch() or not (accounts := account_queue.next_accounts(now, since)):
        return
    clusters = _clusters(now)
    slices = -(-len(accounts) // runner.SLICE)
    shares = min(max(slices, clusters), clusters * _shares_of_a_cluster(), len(accounts))  # each cluster has work
    run = report.RunReport.begin(SyncRun.Trigger.SCHEDULE, None, now, shares).run
    times = since.isoformat(), (now + TICK).isoformat()
    for share in range(1, shares):
        queue("mailbox.tasks.sync_share", run.pk, *times, share, shares, group="sync")
    sync_share(run.pk, *times, 0, shares)


def sync_share(run_pk: int, since: str, until: str, share: int, shares: int, passes: int = 0) -> None:
    """Sync accounts that were not tried since `since`, slice by slice, until all were tried or it is `until`.

    `since`, `until`: ISO 8601; `until` is the next tick, so tasks never pile up, however much mail waits. All shares
    serve the same accounts and begin at different positions of the queue: if a worker dies or the broker loses a task,
    the other shares sync its accounts. A share that comes to a host without a free connection is passed on, `passes`
    times so far, since a busy host may take the shares of all hosts from the broker.
    """
    run = SyncRun.objects.filter(pk=run_pk).first()
    if run is None:
        return
    now = timezone.now()
    left, clusters = (datetime.fromisoformat(until) - now).total_seconds(), _clusters(now)
    wanted = _connections_of(share, -(-shares // clusters), clusters) if left > 0 and may_fetch() else 0
    slots = take_slots("sync", wanted, settings.SYNC_MAX_CONCURRENCY)
    if wanted and not slots and clusters > 1 and passes < MOST_PASSES:
        queue("mailbox.tasks.sync_share", run_pk, since, until, share, shares, passes + 1, group="sync")
        time.sleep(PASS_SECONDS)  # this worker would be the next to take it
        return
    accounts = account_queue.DueAccounts(datetime.fromisoformat(since), share, shares, runner.SLICE)
    runner.run_share(run, accounts, left, slots)


def _clusters(now: datetime) -> int:
    return max(WorkerHeartbeat.objects.alive(now).count(), 1)


def _connections_of(share: int, of_a_cluster: int, clusters: int) -> int:
    """How many connections a share may use, so that the shares of a cluster have SYNC_MAX_CONCURRENCY together.

    Of several clusters one may get more shares than another: then each may use as many as the largest, so that fewer
    shares are enough. The host's slots (take_slots) limit its connections.
    """
    if clusters > 1:
        return -(-int(settings.SYNC_MAX_CONCURRENCY) // of_a_cluster)
    return int(settings.SYNC_MAX_CONCURRENCY + share % of_a_cluster) // of_a_cluster


def _shares_of_a_cluster() -> int:
    """How many shares a cluster may run at once: one worker stays free for tasks that a person waits for."""
    return max(min(int(Conf.WORKERS) - 1, settings.SYNC_MAX_CONCURRENCY), 1)


def sync_account(account_id: int, user_id: int | None) -> None:
    """Sync the account's chosen folders for the person who asked; it waits CLICK_WAIT_SECONDS for a sync that runs."""
    if not may_fetch():
        return
    Account.objects.filter(pk=account_id).update(sync_asked_at=None)
    runner.run_sync(
        account_queue.jobs_of(account_id), CLICK_BUDGET_SECONDS, wait_seconds=CLICK_WAIT_SECONDS,
        trigger=SyncRun.Trigger.CLICK, requested_by=user_id,
    )  # fmt: skip


def sync_pushed(account_id: int) -> None:
    """Sync INBOX and the folders with reported changes (SyncState.news_at) at once, except those in backoff.

    If a sync of the account is running, that one syncs INBOX again, and the next tick the other folders.
    """
    chosen = account_queue.jobs_of(account_id)
    news = SyncState.objects.filter(account_id=account_id, news_at__isnull=False)
    names = {"INBOX", *news.values_list("folder__name", flat=True)}
    if any(job.folder == "INBOX" for job in chosen):  # on Gmail, All Mail holds the inbox
        chosen = [job for job in chosen if job.folder in names]
    due = set(Folder.objects.due(timezone.now()).filter(account_id=account_id).values_list("name", flat=True))
    if (chosen := [job for job in chosen if job.folder in due]) and may_fetch():
        trigger = SyncRun.Trigger.PUSH
        runner.run_sync(chosen, settings.SYNC_TICK_SECONDS, wait_seconds=PUSH_WAIT_SECONDS, trigger=trigger)


def list_folders(account_id: int) -> None:
    """Ask the server for the account's folders. A failed sign-in is stored in the transport, and shown on its page."""
    if network.is_off():
        return
    Account.objects.filter(pk=account_id).update(listing_asked_at=None)
    try:
        folder_sync.discover_folders(account_id)
    except Account.DoesNotExist:
        return
    except MailError as error:
        event(logger, "listing_failed", logging.WARNING, account=account_id, reply=provider_words(str(error)))


def beat() -> None:
    """Every half minute, on any cluster: write this cluster's heartbeat, and take over from dead processes."""
    now = timezone.now()
    say_alive(now)
    _take_over_from_dead_processes(now)


@receiver(pre_execute)
def _before_a_task(**_: Any) -> None:
    """Write the heartbeat before other tasks too: clusters share a queue, so one may take the `beat` of another."""
    if time.monotonic() - _said_alive_at > BEAT_SECONDS:
        with suppress(Exception):  # the task will fail for the same reason, and is recorded then
            say_alive(timezone.now())


def say_alive(now: datetime) -> None:
    """Write this cluster's heartbeat: that its workers take tasks, and whether broker, disk and raw store work.

    A worker's parent process is its cluster.
    """
    global _said_alive_at
    _said_alive_at = time.monotonic()
    who: dict[str, Any] = {"host": this_host(), "cluster_pid": os.getppid()}
    began = time.monotonic()
    before = WorkerHeartbeat.objects.filter(**who).first()
    database_seconds = time.monotonic() - began
    is_usable = store_check.is_usable()
    if is_usable:
        installations.note_in_time()
    says: dict[str, Any] = {
        "seen_at": now,
        "disk_free_percent": free_percent(settings.DATA_DIR),
        "store_disk_free_percent": free_percent(store) if (store := store_folder()) else None,
        "database_seconds": database_seconds,
        "broker_away_since": None if get_broker().ping() else (before and before.broker_away_since) or now,
        "fetching_stopped_since": (before and before.fetching_stopped_since) or now if disk_budget.is_spent() else None,
        "store_failed_since": None if is_usable else (before and before.store_failed_since) or now,
        "store_seconds": store_check.seconds(),
        "store_failures": (before.store_failures if before else 0) + (not is_usable),
    }
    WorkerHeartbeat.objects.update_or_create(**who, defaults=says, create_defaults={**says, "started_at": now})
    process_heartbeats.note(ProcessHeartbeat.Role.WORKERS, now, pid=who["cluster_pid"])


def _take_over_from_dead_processes(now: datetime) -> None:
    """Queue a round at once, not at the next tick, when a worker has died or a push process has fallen silent.

    An expired lease that is still there belongs to a worker that died, since a living one renews or releases it. Leases
    last for half a minute and this runs every half minute, so no account waits longer than a minute.
    """
    report.end_abandoned(now)
    lapsed = Lease.objects.filter(purpose=Lease.Purpose.SYNC, expires_at__lte=now)
    accounts = set(lapsed.values_list("account_id", flat=True))
    if accounts and (listened_to := accounts & PushHeartbeat.connected(now)):
        # The dead worker may have cleared news_at without having fetched the change, and accounts with push are synced
        # less often.
        SyncState.objects.filter(account_id__in=listened_to, news_at=None).update(news_at=now)
    lapsed.delete()
    if accounts or PushHeartbeat.fell_silent(now):
        queue("mailbox.tasks.sync_tick", True, group="sync")


def sweep_raw() -> None:
    """Daily: remove raw messages that no row refers to, and partial files of large messages that were abandoned."""
    deletions.if_two_looks_agree("raw store", _sweep_raw)


def _sweep_raw(now: datetime) -> None:
    event(logger, "partial_files_swept", removed=partial_files.sweep())  # first: the raw store may be away
    event(logger, "raw_store_swept", removed=sweeping.sweep(now))


def remove_expunged() -> None:
    """Daily: remove messages that have been gone from the server for longer than the grace period."""
    deletions.if_two_looks_agree("expunged mail", lambda now: remove_expunged_slice(now.isoformat()))


def remove_expunged_slice(agreed: str) -> None:
    """Remove some of what was gone for long enough at the time `agreed` (ISO 8601), and queue the next slice."""
    now = datetime.fromisoformat(agreed)
    if not deletions.is_superseded("expunged mail", now) and (removed := purge.remove_expunged(now)):
        event(logger, "expunged_removed", removed=removed)
        queue("mailbox.tasks.remove_expunged_slice", agreed, group="sync")


def prune() -> None:
    """Daily: remove old run reports, look-ups, heartbeats, counters and expired sessions, and django-q2's failures,
    which it never removes itself.

    Also the search words of messages that were deleted with their account, and statistics of SQLite's planner (see
    mailbox.db.sqlite_statistics).
    """
    sweep_words(50_000)
    deletions.if_two_looks_agree("reports", _prune)
    sqlite_statistics.forget_statistics()
    call_command("clearsessions")


def _prune(now: datetime) -> None:
    autoconfig_lookup.forget_old(now)
    SyncRun.objects.filter(started_at__lt=now - REPORTS_KEPT).delete()
    for heartbeats in (WorkerHeartbeat, ProcessHeartbeat):
        heartbeats.objects.filter(is_stale("seen_at", HEARTBEATS_KEPT, now)).delete()
    StoreMiss.objects.filter(last_at__lt=now - HEARTBEATS_KEPT).delete()
    table_sizes.forget_old(now)
    Counter.objects.filter(hour__lt=now - COUNTERS_KEPT).delete()
    DatabaseFailure.objects.filter(last_at__lt=now - REPORTS_KEPT).delete()
    Failure.objects.filter(stopped__lt=now - FAILURES_KEPT).delete()
