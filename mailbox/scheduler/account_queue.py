"""The accounts that a run works through: a given list, or those that are due."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from django.utils import timezone

from mailbox.models import Account
from mailbox.scheduler.jobs import SyncJob, due_jobs, next_accounts


class AccountQueue(Protocol):
    """Used by one thread at a time."""

    def accounts(self) -> Sequence[int]:
        """Whom to claim next, those that wait for longest first; nobody: that was all."""

    def take(self, claimed: Collection[int]) -> Iterable[SyncJob]:
        """What is to be done of these accounts, whose leases we have."""

    def put_back(self, account_id: int, jobs: Sequence[SyncJob]) -> None:
        """What is left of an account when its turn is over."""

    def is_busy(self, accounts: Collection[int]) -> None:
        """Another worker has these, or they were deleted."""


class GivenAccounts:
    """Waits for accounts that another worker has, up to `wait_seconds` from now."""

    def __init__(self, jobs: Iterable[SyncJob], wait_seconds: float) -> None:
        self._gives_up_at = time.monotonic() + wait_seconds
        self._jobs: dict[int, list[SyncJob]] = {}
        for job in dict.fromkeys(jobs):
            self._jobs.setdefault(job.account_id, []).append(job)

    def accounts(self) -> Sequence[int]:
        return list(self._jobs)

    def take(self, claimed: Collection[int]) -> Iterable[SyncJob]:
        return [job for account_id in claimed for job in self._jobs.pop(account_id)]

    def put_back(self, account_id: int, jobs: Sequence[SyncJob]) -> None:
        self._jobs[account_id] = list(jobs)

    def is_busy(self, accounts: Collection[int]) -> None:
        there = set[int]()
        if time.monotonic() < self._gives_up_at:
            there.update(Account.objects.filter(pk__in=accounts).values_list("pk", flat=True))
        for account_id in accounts:
            jobs = self._jobs.pop(account_id)
            if account_id in there:
                self._jobs[account_id] = jobs  # behind the others


class DueAccounts:
    """The accounts that are due and that nobody has tried since `since`. Other workers have the same queue at this
    moment: each reads it anew before each slice and begins at an offset of its own, so that they seldom try for the
    same accounts."""

    def __init__(self, since: datetime, offset: int) -> None:
        self._since, self._offset = since, offset
        self._served = set[int]()  # one whose turn left no trace, as that of a deleted account, is not due to us again

    def accounts(self) -> Sequence[int]:
        queue = [pk for pk in next_accounts(timezone.now(), self._since) if pk not in self._served]
        offset = self._offset % max(len(queue), 1)
        return queue[offset:] + queue[:offset]

    def take(self, claimed: Collection[int]) -> Iterable[SyncJob]:
        """Asked under the leases: another worker may have served these since we read the queue."""
        self._served.update(claimed)
        return due_jobs(timezone.now(), self._since, claimed)

    def put_back(self, account_id: int, jobs: Sequence[SyncJob]) -> None:
        self._served.discard(account_id)

    def is_busy(self, accounts: Collection[int]) -> None:
        """Other workers have the leases of these accounts and serve them."""
