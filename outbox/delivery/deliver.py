"""claim -> send -> finalize: for the due rows of an account, or for one row while somebody waits."""

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

BUDGET_SECONDS = 45.0  # no new row is claimed later; the rest of a task's time is for the last one
POLL_SECONDS = 0.1
MAY_SEND_SECONDS = 1.0  # how long an answer of may_send holds


@dataclass
class DeliveryCounts:
    """What one call of deliver_account did. `more_due`: the budget ended with work left."""

    attempted: int = 0
    sent: int = 0
    more_due: bool = False


def may_send(account_id: int, now: datetime) -> bool:
    """Whether workers may deliver for this account now: nothing paused, sign-in in order, the server not left alone."""
    return _free_accounts(now).filter(pk=account_id).exists()


def _free_accounts(now: datetime) -> AccountQuerySet:
    free = Q(smtp__next_allowed_at=None) | Q(smtp__next_allowed_at__lte=now)
    return Account.objects.sending().filter(free, ~Exists(SendingSwitch.objects.filter(paused_at__isnull=False)))


def accounts_with_due_rows(now: datetime) -> list[int]:
    """Accounts for which a worker would find something to do at this instant: one probe of the index each."""
    due = OutboxMessage.objects.due(now).filter(account=OuterRef("pk"))
    in_pace = Q(messages_per_minute=None) | Q(send_pace=None) | Q(send_pace__next_at__lte=now)
    return list(_free_accounts(now).filter(in_pace, Exists(due)).order_by("pk").values_list("pk", flat=True))


def deliver_account(account_id: int, budget: float = BUDGET_SECONDS, **options: Any) -> DeliveryCounts:
    """`deliver_due`, here and now."""
    return complete(deliver_due(Database(), account_id, budget, **options))


async def deliver_due(
    database: Database,
    account_id: int,
    budget: float = BUDGET_SECONDS,
    *,
    times: Times | None = None,
    clock: Clock = timezone.now,
    seen: Callable[[Sender], object] = lambda sender: None,
) -> DeliveryCounts:
    """Deliver what is due, the longest due first, on one session, for at most `budget` seconds before the last row.

    Returns at once when another sender has the account: it finds what we would have found. `seen` is given each sender
    at its start.
    """
    times, report, until = times or Times.from_settings(), DeliveryCounts(), time.monotonic() + budget
    while database.run(lambda: _has_work(account_id, clock())):
        if time.monotonic() >= until:
            report.more_due = True
            break
        lease = database.run(partial(_lease, account_id, times, clock, database))
        if lease is None:
            break
        # Looking again after the lease is given back: a row that came while we held it found the account taken.
        if await _drain(lease, until, report, times, seen):
            break
    return report


def _has_work(account_id: int, now: datetime) -> bool:
    return may_send(account_id, now) and OutboxMessage.objects.due(now).filter(account_id=account_id).exists()


def _lease(account_id: int, times: Times, clock: Clock, database: Database) -> SendLease | None:
    return SendLease.acquire(account_id, worker_name(), times.send_lease, clock, database)


def _sender(lease: SendLease, times: Times) -> Sender | None:
    """None when the account was deleted just now, and its lease and rows with it."""
    account = Account.objects.with_transports().filter(pk=lease.account_id).first()
    return None if account is None else Sender(account, lease, times=times)


async def _drain(
    lease: SendLease, until: float, report: DeliveryCounts, times: Times, seen: Callable[[Sender], object]
) -> bool:
    """True when the rest of the queue is to be left alone for now."""
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
    """may_send(), asked once a second at most: a pause takes hold within that, not in the middle of a row."""

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
    """Deliver a due row now, even where the server is to be left alone. Ask the row for what came of it.

    While a worker holds the account it delivers this row too: wait for that, for at most `patience` seconds.
    """
    patience = settings.COMMAND_TIMEOUT_SECONDS if patience is None else patience
    complete(_deliver_one(Database(), outbox_id, patience, times or Times.from_settings(), clock))


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
    """True when the claim was ours and the attempt has ended. The account's rate limit holds here too."""
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
    """Another worker has the row, or will take it next."""
    row = OutboxMessage.objects.filter(pk=outbox_id)
    return row.sending().exists() or row.due(now).exists()
