"""A lease that is held while work is done: taken, renewed by keep_alive, given back at the end.

It keeps others away from an account for one purpose. Correctness rests on renew() in each transaction that writes;
keep_alive only keeps slow work from losing its lease.
"""

from __future__ import annotations

import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from mailbox.errors import Busy
from mailbox.leases.keep_alive import LEASE_SECONDS, Act, keep_alive
from mailbox.models import Lease

Clock = Callable[[], datetime]
WAIT_STEP_SECONDS = 0.1


@dataclass(frozen=True)
class HeldLease:
    """A lease that this process has taken. Only the token proves it."""

    account_id: int
    purpose: str
    token: str
    clock: Clock

    def renew(self, seconds: float = LEASE_SECONDS) -> None:
        """Renew it for `seconds` from now. Raises Busy when another worker has taken it."""
        if not Lease.renew(self.account_id, self.purpose, self.token, seconds=seconds, now=self.clock()):
            raise Busy("Another worker took over this work of the account.")


@contextmanager
def held(account_id: int, purpose: str, clock: Clock = timezone.now, *, wait_seconds: float = 0) -> Iterator[HeldLease]:
    """Take the account's lease for this purpose, and give it back at the end.

    Raises Busy when another worker holds it for longer than `wait_seconds`.
    """
    token, deadline = secrets.token_hex(16), time.monotonic() + wait_seconds
    while not (leases := take_all([account_id], purpose, token, clock)):
        if time.monotonic() >= deadline:
            raise Busy("Another worker does this for the account at this moment; try again when it is done.")
        time.sleep(WAIT_STEP_SECONDS)
    try:
        with keep_alive.during(renewing(purpose, token, clock)):
            yield leases[0]
    finally:
        give_back(leases)


def take_all(account_ids: Collection[int], purpose: str, token: str, clock: Clock) -> list[HeldLease]:
    """Take the leases of these accounts that are free, under one token, by one statement; in the order given."""
    who = f"{platform.node()}/{os.getpid()}/{threading.get_ident()}"  # for people who read the table
    ours = Lease.acquire_all(account_ids, purpose, who, seconds=LEASE_SECONDS, now=clock(), token=token)
    return [HeldLease(each, purpose, token, clock) for each in account_ids if each in ours]


def renewing(purpose: str, token: str, clock: Clock) -> Act:
    """An act for keep_alive.during() that renews all leases of this token, and never shortens one."""

    def renew() -> bool:
        ends = clock() + timedelta(seconds=LEASE_SECONDS)
        Lease.objects.filter(purpose=purpose, token=token, expires_at__lt=ends).update(expires_at=ends)
        return True

    return renew


def give_back(leases: Sequence[HeldLease]) -> None:
    """Release leases of one purpose: now or, if the database fails, when it is back."""

    def release() -> bool:
        if leases:
            Lease.release_all([(each.account_id, each.token) for each in leases], leases[0].purpose)
        return False

    keep_alive.do_until_done(release)
