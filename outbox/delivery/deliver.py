"""claim -> send -> finalize: for the due rows of an account, or for one row while somebody waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from mailbox.models import Account
from mailbox.models.accounts import AccountQuerySet
from outbox.delivery import claims
from outbox.delivery.attempt_watch import Clock, SendLease
from outbox.delivery.claims import worker_name
from outbox.delivery.sender import Sender
from outbox.delivery.timeouts import Times
from outbox.eventloop.coroutines import Steps, to_the_end
from outbox.models import OutboxMessage, SendingSwitch

BUDGET_SECONDS = 45.0  # no new row is claimed later; the rest of a task's time is for the last one
POLL_SECONDS = 0.1
MAY_SEND_SECONDS = 1.0  # how long an answer of may_send holds


@dataclass
class Report:
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


def deliver_account(account_id: int, budget: float = BUDGET_SECONDS, **options: Any) -> Report:
    """`deliveries`, here and now."""
    return to_the_end(deliveries(account_id, budget, **options))


def deliveries(
    account_id: int,
    budget: float = BUDGET_SECONDS,
    *,
    times: Times | None = None,
    clock: Clock = timezone.now,
    seen: Callable[[Sender], object] = lambda sender: None,
) -> Steps[Report]:
    """Deliver what is due, the longest due first, on one session, for at most `budget` seconds before the last row.

    Returns at once when another sender has the account: it finds what we would have found. `seen` is given each sender
    at its start.
    """
    times, report, until = times or Times.from_settings(), Report(), time.monotonic() + budget
    while _has_work(account_id, clock()):
        if time.monotonic() >= until:
            report.more_due = True
            break
        lease = SendLease.acquire(account_id, worker_name(), times.send_lease, clock)
        if lease is None:
            break
        # Looking again after the lease is given back: a row that came while we held it found the account taken.
        if (yield from _drain(account_id, lease, until, report, times, clock, seen)):
            break
    return report


def _has_work(account_id: int, now: datetime) -> bool:
    return may_send(account_id, now) and OutboxMessage.objects.due(now).filter(account_id=account_id).exists()


def _drain(
    account_id: int,
    lease: SendLease,
    until: float,
    report: Report,
    times: Times,
    clock: Clock,
    seen: Callable[[Sender], object],
) -> Steps[bool]:
    """True when the rest of the queue is to be left alone for now."""
    account = Account.objects.with_transports().filter(pk=account_id).first()
    if account is None:  # deleted just now, and its lease and rows with it
        return True
    sender, allowed = Sender(account, lease, times=times, clock=clock), Allowed(account_id, clock)
    seen(sender)

    def go_on() -> bool:
        return time.monotonic() < until and not sender.is_parked and lease.keep() and allowed()

    try:
        while go_on():
            yield from sender.pace.wait(clock, go_on)
            if not (sender.pace.is_open(clock()) and go_on()):
                break
            claim = claims.claim_next(account_id, worker_name(), lease_seconds=times.claim_lease, now=clock())
            if claim is None:
                break
            yield from sender.deliver(claim, go_on)
    finally:
        report.attempted += sender.attempted
        report.sent += sender.sent
        yield from sender.close()
        lease.release()
    return sender.is_parked or not sender.pace.is_open(clock())


class Allowed:
    """may_send(), asked once a second at most: a pause takes hold within that, not in the middle of a row."""

    def __init__(self, account_id: int, clock: Clock) -> None:
        self._account_id, self._clock, self._until = account_id, clock, 0.0

    def __call__(self) -> bool:
        if time.monotonic() >= self._until:
            if not may_send(self._account_id, self._clock()):
                return False
            self._until = time.monotonic() + MAY_SEND_SECONDS
        return True


def deliver_one(
    outbox_id: int, *, patience: float | None = None, times: Times | None = None, clock: Clock = timezone.now
) -> None:
    """Deliver a due row now, even where the server is to be left alone. Ask the row for what came of it.

    While a worker holds the account it delivers this row too: wait for that, for at most `patience` seconds.
    """
    times = times or Times.from_settings()
    give_up = time.monotonic() + (settings.COMMAND_TIMEOUT_SECONDS if patience is None else patience)
    account_id = OutboxMessage.objects.values_list("account_id", flat=True).get(pk=outbox_id)
    while True:
        lease = SendLease.acquire(account_id, worker_name(), times.send_lease, clock)
        if lease is not None and _attempt_one(outbox_id, account_id, lease, times, clock):
            return
        if not _is_underway(outbox_id, clock()) or time.monotonic() >= give_up:
            return
        time.sleep(POLL_SECONDS)


def _attempt_one(outbox_id: int, account_id: int, lease: SendLease, times: Times, clock: Clock) -> bool:
    """True when the claim was ours and the attempt has ended. The account's rate limit holds here too."""
    sender = Sender(Account.objects.with_transports().get(pk=account_id), lease, times=times, clock=clock)
    try:
        if not sender.pace.is_open(clock()):
            return False
        claim = claims.claim_row(outbox_id, worker_name(), lease_seconds=times.claim_lease, now=clock())
        if claim is not None:
            to_the_end(sender.deliver(claim))
        return claim is not None
    finally:
        to_the_end(sender.close())
        lease.release()


def _is_underway(outbox_id: int, now: datetime) -> bool:
    """Another worker has the row, or will take it next."""
    row = OutboxMessage.objects.filter(pk=outbox_id)
    return row.sending().exists() or row.due(now).exists()
