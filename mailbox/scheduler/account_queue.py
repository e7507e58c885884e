"""Which folders are due, which accounts come next, and the accounts that a run still has to sync.

A run's queue is a given list (GivenAccounts), or the accounts that are due (DueAccounts). Nothing is claimed here.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import starmap

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from mailbox.clocks import SLACK, is_over
from mailbox.models import Account, Folder, Lease, PushHeartbeat, SyncState
from mailbox.models.sync import FolderQuerySet

SIGN_IN_AGAIN_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class SyncJob:
    """One folder to sync in a run; at most `max_messages` are fetched in a round. None: PRX_EMAIL_SYNC_MAX_MESSAGES."""

    account_id: int
    folder: str = "INBOX"
    max_messages: int | None = None


def due_jobs(now: datetime, since: datetime, accounts: Collection[int]) -> list[SyncJob]:
    """One job for each chosen folder of these accounts (pks) that may be synced now and was not tried since `since`,
    the longest wait first.

    An account whose folders were never listed gets a job for INBOX. An account whose sign-in was refused is tried once
    an hour, or at once when its credentials have changed.
    """
    folders = _due_folders(now, since).filter(account_id__in=accounts)
    unknown = _due_unknown(now).filter(pk__in=accounts)
    return [
        *starmap(SyncJob, folders.values_list("account_id", "name")),
        *map(SyncJob, unknown.values_list("pk", flat=True)),
    ]


def next_accounts(now: datetime, since: datetime) -> list[int]:
    """The accounts (pks) with a due folder that was not tried since `since`, or has more waiting; longest wait first.

    Left out are accounts whose lease another worker holds, and those with a folder that failed since `since`: its
    connection may be the reason, so the other folders wait for the next round. An account whose IDLE connection is up
    comes only when push reported news, or SYNC_PUSHED_SECONDS after its last sync: some servers report nothing.
    """
    held = Lease.objects.filter(purpose=Lease.Purpose.SYNC, expires_at__gt=now)
    failed = SyncState.objects.filter(_tried(now, since)).exclude(last_error_code="")
    folders = _due_folders(now, since).exclude(Exists(held.filter(account=OuterRef("account"))))
    folders = folders.exclude(Exists(failed.filter(account=OuterRef("account")))).exclude(_is_listened_to(now))
    unknown = _due_unknown(now).exclude(Exists(held.filter(account=OuterRef("pk"))))
    # New accounts first: they have waited longest of all.
    found = [*unknown.values_list("pk", flat=True), *folders.values_list("account_id", flat=True)]
    return list(dict.fromkeys(found))


def _is_listened_to(now: datetime) -> Q:
    """Folders without anything to do that were synced within SYNC_PUSHED_SECONDS and whose account has push up."""
    return Q(
        account_id__in=PushHeartbeat.connected(now),
        sync_state__last_success_at__gt=now - timedelta(seconds=settings.SYNC_PUSHED_SECONDS),
        sync_state__last_success_at__lte=now,
        sync_state__last_error_code="",
        sync_state__more_waiting=False,
        sync_state__news_at=None,
    )


def _due_folders(now: datetime, since: datetime) -> FolderQuerySet:
    sign_in = (
        Q(account__imap__needs_sign_in_since=None)
        | Q(sync_state__last_attempt_at=None)
        | Q(sync_state__last_attempt_at__lte=now - SIGN_IN_AGAIN_AFTER)
    )
    done = SyncState.objects.filter(_tried(now, since), more_waiting=False)
    due = Folder.objects.due(now).filter(sign_in).exclude(Exists(done.filter(folder=OuterRef("pk"))))
    # A failed folder waits from the end of its backoff on. By its last attempt, servers that hang would come first,
    # since their backoff is longer than a round, and take all connections until each has timed out.
    waits_since = Coalesce("sync_state__next_allowed_at", "sync_state__last_attempt_at")
    return due.order_by(waits_since.asc(nulls_first=True), "pk")


def _due_unknown(now: datetime) -> models.QuerySet[Account]:
    unknown = Account.objects.syncing().filter(folders=None, imap__needs_sign_in_since=None)
    return unknown.filter(is_over("imap__next_allowed_at", now)).order_by("pk")


def _tried(now: datetime, since: datetime) -> Q:
    """Sync states tried since `since`. An attempt in the future was written by a wrong clock and does not count."""
    return Q(last_attempt_at__gte=since, last_attempt_at__lte=now + SLACK)


def jobs_of(account_id: int, max_messages: int | None = None) -> list[SyncJob]:
    """One job for each chosen folder of the account, whether in backoff or not; INBOX when none is known yet."""
    names = list(Folder.objects.chosen().filter(account_id=account_id).values_list("name", flat=True))
    if not names and not Folder.objects.filter(account_id=account_id).exists():
        names = ["INBOX"]
    return [SyncJob(account_id, name, max_messages) for name in names]


class GivenAccounts:
    """A given list of jobs. An account that another worker holds is tried again for `wait_seconds` from now.

    A run calls it under its lock: by one thread at a time. Accounts are given by pk.
    """

    def __init__(self, jobs: Iterable[SyncJob], wait_seconds: float) -> None:
        self._gives_up_at = time.monotonic() + wait_seconds
        self._jobs: dict[int, list[SyncJob]] = {}
        for job in dict.fromkeys(jobs):
            self._jobs.setdefault(job.account_id, []).append(job)

    def accounts(self) -> Sequence[int]:
        """The accounts to claim next, the longest wait first; empty when the run has nothing more to do.

        A run claims the first SLICE of them.
        """
        return list(self._jobs)

    def take(self, chosen: Collection[int], claimed: Collection[int]) -> Iterable[SyncJob]:
        """Return the jobs of those `claimed`, whose leases we now hold.

        Other workers hold the leases of the others, or these were deleted: those that still exist are put behind the
        rest until `wait_seconds` are over.
        """
        jobs, busy = {pk: self._jobs.pop(pk) for pk in chosen}, [pk for pk in chosen if pk not in claimed]
        if busy and time.monotonic() < self._gives_up_at:
            there = set(Account.objects.filter(pk__in=busy).values_list("pk", flat=True))
            self._jobs.update((pk, jobs[pk]) for pk in busy if pk in there)
        return [job for pk in claimed for job in jobs[pk]]

    def put_back(self, account_id: int, jobs: Collection[SyncJob]) -> None:
        """Queue an account again whose turn ended with these jobs left."""
        self._jobs[account_id] = list(jobs)


class DueAccounts:
    """The accounts that are due and that no worker has tried since `since`; used as GivenAccounts.

    The workers of a run share this queue: each reads it from the database before each slice, and takes the `share`-th
    of `shares` equal parts, of `most` accounts at most. So two seldom try to claim the same accounts, and a few
    accounts with much mail are not all claimed by the first worker.
    """

    def __init__(self, since: datetime, share: int, shares: int, most: int) -> None:
        self._since, self._share, self._shares, self._most = since, share, shares, most
        # A turn that wrote nothing, as that of a deleted account, leaves the account due: it must not come again here.
        self._served = set[int]()

    def accounts(self) -> Sequence[int]:
        queue = [pk for pk in next_accounts(timezone.now(), self._since) if pk not in self._served]
        size = min(-(-len(queue) // self._shares), self._most)
        start = self._share * size % max(len(queue), 1)
        return (queue[start:] + queue[:start])[:size]

    def take(self, chosen: Collection[int], claimed: Collection[int]) -> Iterable[SyncJob]:
        """Read the due jobs again, now that we hold the leases: another worker may have synced these accounts since.

        The workers that hold the leases of the others sync these.
        """
        self._served.update(claimed)
        return due_jobs(timezone.now(), self._since, claimed)

    def put_back(self, account_id: int, jobs: Collection[SyncJob]) -> None:
        self._served.discard(account_id)


AccountQueue = GivenAccounts | DueAccounts
