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

from mailbox.models import Account
from mailbox.models.accounts import AccountQuerySet
from outbox.delivery import claims
from outbox.delivery.attempt_watch import Clock, utc_now
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
    clock: Clock = utc_now,
    seen: Callable[[Sender], object] = lambda sender: None,
) -> DeliveryCounts:
    """Send the account's due rows, the longest due first, on one session.

    budget: seconds, after which no further row is begun. seen: called with each Sender when it starts.
    Returns at once when another worker is the account's sender: it will find the same rows.
    """
    times, report, until = times or Times.from_settings(), DeliveryCounts(), time.monotonic() + budget
    while sender := database.run(lambda: Sender.begin(database, account_id, times, clock)):
        seen(sender)
        has_to_wait = await _drain(sender, until, report)
        # Look again after the lease was released: whoever added a row meanwhile found the account taken.
        if has_to_wait or not database.run(lambda: _has_work(account_id, clock())):
            break
        if time.monotonic() >= until:
            report.more_due = True
            break
    return report


def _has_work(account_id: int, now: datetime) -> bool:
    return may_send(account_id, now) and OutboxMessage.objects.due(now).filter(account_id=account_id).exists()


async def _drain(sender: Sender, until: float, report: DeliveryCounts) -> bool:
    """Send due rows until there are none. True when the rest of the queue has to wait."""
    looked_at = -MAY_SEND_SECONDS

    def go_on() -> bool:
        nonlocal looked_at
        if time.monotonic() >= until or sender.is_parked or not sender.lease.renew_in_time():
            return False
        if time.monotonic() < looked_at + MAY_SEND_SECONDS:
            return True
        allowed = sender.database.run(lambda: may_send(sender.lease.account_id, sender.clock()))
        looked_at = time.monotonic() if allowed else looked_at
        return allowed

    try:
        while go_on():
            await sender.rate_limiter.wait(sender.clock, go_on)
            if not (sender.rate_limiter.is_open(sender.clock()) and go_on()):
                break
            claim = sender.claim(partial(claims.claim_next, sender.lease.account_id))
            if claim is None:
                break
            await sender.deliver(claim, go_on)
    finally:
        report.attempted += sender.attempted
        report.sent += sender.sent
        await sender.close()
    return sender.is_parked or not sender.rate_limiter.is_open(sender.clock())


def deliver_one(
    outbox_id: int, *, patience: float | None = None, times: Times | None = None, clock: Clock = utc_now
) -> None:
    """Send one due row now, even while its server is in backoff. The outcome is in the row.

    While another worker is the account's sender, it sends this row too: wait for it, at most `patience` seconds.
    """
    patience = settings.COMMAND_TIMEOUT_SECONDS if patience is None else patience
    complete(_deliver_one(Database(writers=1), outbox_id, patience, times or Times.from_settings(), clock))


async def _deliver_one(database: Database, outbox_id: int, patience: float, times: Times, clock: Clock) -> None:
    give_up = time.monotonic() + patience
    row = OutboxMessage.objects.filter(pk=outbox_id)
    account_id = database.run(lambda: row.values_list("account_id", flat=True).get())
    while True:
        sender = database.run(lambda: Sender.begin(database, account_id, times, clock))
        if sender is not None and await _attempt_one(outbox_id, sender):
            return
        # Whether another worker has claimed the row, or will claim it next.
        is_underway = database.run(lambda: row.sending().exists() or row.due(clock()).exists())
        if not is_underway or time.monotonic() >= give_up:
            return
        await asyncio.sleep(POLL_SECONDS)


async def _attempt_one(outbox_id: int, sender: Sender) -> bool:
    """Claim and send one row; False when another worker has claimed it. The account's rate limit applies."""
    try:
        is_open = sender.rate_limiter.is_open(sender.clock())
        claim = sender.claim(partial(claims.claim_row, outbox_id)) if is_open else None
        if claim is not None:
            await sender.deliver(claim)
        return claim is not None
    finally:
        await sender.close()
