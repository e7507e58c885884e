"""claim -> send -> finalize, for the due rows of an account, or for one row while a person waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from mailbox.models import Account
from mailbox.models.accounts import AccountQuerySet
from outbox.delivery import claims
from outbox.delivery.attempt_watch import Clock, SendLease
from outbox.delivery.claims import worker_name
from outbox.delivery.database import Database, complete
from outbox.delivery.sender import Sender
from outbox.delivery.timeouts import Times
from outbox.models import OutboxMessage, SendingSwitch

BUDGET_SECONDS = 45.0  # then no further row is claimed; the rest of the task's time is for the last one
POLL_SECONDS = 0.1
MAY_SEND_SECONDS = 1.0  # how long a result of may_send is used


@dataclass
class DeliveryCounts:
    """What one call of deliver_account did. `more_due`: the budget ended with work left."""

    attempted: int = 0
    sent: int = 0
    more_due: bool = False


def may_send(account_id: int, now: datetime) -> bool:
    """Whether workers may send for this account now: not paused, sign-in not refused, server not in backoff."""
    return _free_accounts(now).filter(pk=account_id).exists()


def _free_accounts(now: datetime) -> AccountQuerySet:
    free = Q(smtp__next_allowed_at=None) | Q(smtp__next_allowed_at__lte=now)
    return Account.objects.sending().filter(free, ~Exists(SendingSwitch.objects.filter(paused_at__isnull=False)))


def accounts_with_due_rows(now: datetime) -> list[int]:
    """The pks of accounts with due rows that may be sent now; one index look-up for each account."""
    due = OutboxMessage.objects.due(now).filter(account=OuterRef("pk"))
    in_pace = Q(messages_per_minute=None) | Q(send_pace=None) | Q(send_pace__next_at__lte=now)
    return list(_free_accounts(now).filter(in_pace, Exists(due)).order_by("pk").values_list("pk", flat=True))


def deliver_account(account_id: int, budget: float = BUDGET_SECONDS, **options: Any) -> DeliveryCounts:
    """Run `deliver_due` to its end in this thread. budget: seconds; options: as deliver_due() takes them."""
    return complete(deliver_due(Database(writers=1), account_id, budget, **options))


async def deliver_due(
    database: Database,
    account_id: int,
    budget: float = BUDGET_SECONDS,
    *,
    times: Times | None = None,
    clock: Clock = timezone.now,
    seen: Callable[[Sender], object] = lambda sender: None,
) -> DeliveryCounts:
    """Send the account's due rows, the longest due first, on one session.

    budget: seconds, after which no further row is begun. seen: called with each Sender when it starts.
    Returns at once when another worker is the account's sender: it will find the same rows.
    """
    times, report, until = times or Times.from_settings(), DeliveryCounts(), time.monotonic() + budget
    while database.run(lambda: _has_work(account_id, clock())):
        if time.monotonic() >= until:
            report.more_due = True
            break
        lease = database.run(partial(_lease, account_id, times, clock, database))
        if lease is None:
            break
        # Look again after the lease was released: whoever added a row meanwhile found the account taken.
        if await _drain(lease, until, report, times, seen):
            break
    return report


def _has_work(account_id: int, now: datetime) -> bool:
    return may_send(account_id, now) and OutboxMessage.objects.due(now).filter(account_id=account_id).exists()


def _lease(account_id: int, times: Times, clock: Clock, database: Database) -> SendLease | None:
    return SendLease.acquire(account_id, worker_name(), times.send_lease, clock, database)


def _sender(lease: SendLease, times: Times) -> Sender | None:
    """The sender; None when the account was just deleted."""
    account = Account.objects.with_transports().filter(pk=lease.account_id).first()
    return None if account is None else Sender(account, lease, times=times)


async def _drain(
    lease: SendLease, until: float, report: DeliveryCounts, times: Times, seen: Callable[[Sender], object]
) -> bool:
    """Send due rows until there are none. True when the rest of the queue has to wait."""
    clock, database = lease.clock, lease.database
    sender, allowed = database.run(lambda: _sender(lease, times)), Allowed(lease)
    if sender is None:
        return True
    seen(sender)

    def go_on() -> bool:
        return time.monotonic() < until and not sender.is_parked and lease.renew_in_time() and allowed()

    try:
        while go_on():
            await sender.pace.wait(clock, go_on)
            if not (sender.pace.is_open(clock()) and go_on()):
                break
            claim = database.run(
                lambda: claims.claim_next(lease.account_id, worker_name(), lease_seconds=times.claim_lease, now=clock())
            )
            if claim is None:
                break
            await sender.deliver(claim, go_on)
    finally:
        report.attempted += sender.attempted
        report.sent += sender.sent
        await sender.close()
        lease.release()
    return sender.is_parked or not sender.pace.is_open(clock())


class Allowed:
    """may_send() cached for MAY_SEND_SECONDS: a pause takes effect within that time, between two rows."""

    def __init__(self, lease: SendLease) -> None:
        self._lease, self._until = lease, 0.0

    def __call__(self) -> bool:
        if time.monotonic() >= self._until:
            lease = self._lease
            if not lease.database.run(lambda: may_send(lease.account_id, lease.clock())):
                return False
            self._until = time.monotonic() + MAY_SEND_SECONDS
        return True


def deliver_one(
    outbox_id: int, *, patience: float | None = None, times: Times | None = None, clock: Clock = timezone.now
) -> None:
    """Send one due row now, even while its server is in backoff. The outcome is in the row.

    While another worker is the account's sender, it sends this row too: wait for it, at most `patience` seconds.
    """
    patience = settings.COMMAND_TIMEOUT_SECONDS if patience is None else patience
    complete(_deliver_one(Database(writers=1), outbox_id, patience, times or Times.from_settings(), clock))


async def _deliver_one(database: Database, outbox_id: int, patience: float, times: Times, clock: Clock) -> None:
    give_up = time.monotonic() + patience
    accounts = OutboxMessage.objects.values_list("account_id", flat=True)
    account_id = database.run(lambda: accounts.get(pk=outbox_id))
    while True:
        lease = database.run(lambda: _lease(account_id, times, clock, database))
        if lease is not None and await _attempt_one(outbox_id, lease, times):
            return
        if not database.run(lambda: _is_underway(outbox_id, clock())) or time.monotonic() >= give_up:
            return
        await asyncio.sleep(POLL_SECONDS)


async def _attempt_one(outbox_id: int, lease: SendLease, times: Times) -> bool:
    """Claim and send one row; False when another worker has claimed it. The account's rate limit applies."""
    clock, database = lease.clock, lease.database
    sender = database.run(lambda: _sender(lease, times))
    if sender is None:
        return True
    try:
        if not sender.pace.is_open(clock()):
            return False
        claim = database.run(
            lambda: claims.claim_row(outbox_id, worker_name(), lease_seconds=times.claim_lease, now=clock())
        )
        if claim is not None:
            await sender.deliver(claim)
        return claim is not None
    finally:
        await sender.close()
        lease.release()


def _is_underway(outbox_id: int, now: datetime) -> bool:
    """Whether another worker has claimed the row, or will claim it next."""
    row = OutboxMessage.objects.filter(pk=outbox_id)
    return row.sending().exists() or row.due(now).exists()
