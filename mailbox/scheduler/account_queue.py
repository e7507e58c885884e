"""The accounts that a run still has to sync: a given list (GivenAccounts), or those that are due (DueAccounts)."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from django.utils import timezone

from mailbox.models import Account
from mailbox.scheduler.jobs import SyncJob, due_jobs, next_accounts


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

    def take(self, claimed: Collection[int]) -> Iterable[SyncJob]:
        """Remove these accounts, whose leases we now hold, and return their jobs."""
        return [job for account_id in claimed for job in self._jobs.pop(account_id)]

    def put_back(self, account_id: int, jobs: Sequence[SyncJob]) -> None:
        """Queue an account again whose turn ended with these jobs left."""
        self._jobs[account_id] = list(jobs)

    def note_busy(self, accounts: Collection[int]) -> None:
        """Note that these could not be claimed: another worker holds their leases, or they were deleted.

        Those that still exist are put behind the others until `wait_seconds` are over; the rest are dropped.
        """
        there = set[int]()
        if time.monotonic() < self._gives_up_at:
            there.update(Account.objects.filter(pk__in=accounts).values_list("pk", flat=True))
        for account_id in accounts:
            jobs = self._jobs.pop(account_id)
            if account_id in there:
                self._jobs[account_id] = jobs


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

    def take(self, claimed: Collection[int]) -> Iterable[SyncJob]:
        """Read the due jobs again, now that we hold the leases: another worker may have synced these accounts since."""
        self._served.update(claimed)
        return due_jobs(timezone.now(), self._since, claimed)

    def put_back(self, account_id: int, jobs: Sequence[SyncJob]) -> None:
        self._served.discard(account_id)

    def note_busy(self, accounts: Collection[int]) -> None:
        """Nothing to do: the workers that hold the leases sync these accounts."""


AccountQueue = GivenAccounts | DueAccounts
