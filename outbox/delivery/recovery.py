"""Settles rows after failures around them: claims of dead workers, queues of failing servers, sign-in holds."""

from __future__ import annotations

import itertools
import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, Value, When

from mailbox import logs
from mailbox.models import Account
from outbox.delivery.claims import UNCLAIMED
from outbox.delivery.timeouts import LONGEST_LEASE_SECONDS
from outbox.models import DeliveryAttempt, OutboxMessage
from outbox.models.messages import OutboxQuerySet
from outbox.retry.faults import Verdict
from outbox.retry.policy import MAX_EXPONENT, lapse_seconds

logger = logging.getLogger(__name__)
Status, Hold = OutboxMessage.Status, OutboxMessage.Hold
STOPPED = "The worker stopped after the end of the mail could be sent and before the server's answer was written down."
RECOVER_AT_ONCE = 500
POSTPONED_AT_ONCE = 2000  # up to a tenth of a second, in which nothing else is written to SQLite
# The status before the claim; PENDING if the row does not say: one inconsistent row must not stop the sweep.
FORMER = Case(When(former_status=Status.FAILED, then=Value(Status.FAILED)), default=Value(Status.PENDING))


def recover(now: datetime) -> tuple[int, int]:
    """Settle the rows whose lease has expired: before "dot" they get their former state, after it they are uncertain.

    A lease that ends later than the longest possible one was taken by a wrong clock and counts as expired.

    Returns (rows released, rows made uncertain). If the worker is alive after all, it finds its claim lost, or settles
    the row that it left uncertain.
    """
    lapsed = OutboxMessage.objects.sending().filter(_is_lapsed(now)).order_by("lease_expires_at")
    found = list(lapsed.values_list("next_attempt_at", "pk", "claim_token", "data_at")[:RECOVER_AT_ONCE])
    ahead, outcomes = set[str](), []
    for _due, pk, token, data_at in sorted(found):  # in the order in which a worker sends them
        # Of rows claimed by one statement, only the first without "dot" can have been begun.
        batch = token.rpartition("-")[0]
        outcomes.append(_recover_row(pk, token, data_at, now, is_untried=bool(batch) and batch in ahead))
        ahead |= {batch} if data_at is None else set()
    return outcomes.count(Verdict.ABANDONED), outcomes.count(Verdict.UNCERTAIN)


def _is_lapsed(now: datetime) -> Q:
    longest = now + timedelta(seconds=LONGEST_LEASE_SECONDS)
    return Q(lease_expires_at__lte=now) | Q(lease_expires_at__gt=longest)


def _recover_row(pk: int, token: str, data_at: datetime | None, now: datetime, *, is_untried: bool) -> Verdict | None:
    """Settle one row. Returns ABANDONED, UNCERTAIN, or None when it has changed: then the next sweep looks again.

    `is_untried`: it was claimed ahead and not begun. Then it is returned as if it had not been claimed, so that it does
    not wait because of a row before it that kills its worker.
    """
    verdict, changes = Verdict.ABANDONED, {"status": FORMER, "updated_at": now, **UNCLAIMED}
    if data_at is not None:
        verdict = Verdict.UNCERTAIN
        changes |= {"status": Status.FAILED, "hold": Hold.UNCERTAIN, "error": STOPPED, "next_attempt_at": now}
    elif not is_untried:
        # Behind the rows that are due already: a row that kills its worker each time must not block the queue.
        changes["next_attempt_at"] = now + _wait_after_lapses(pk)
    lapsed = OutboxMessage.objects.filter(_is_lapsed(now), pk=pk, status=Status.SENDING, claim_token=token)
    with transaction.atomic():
        # PostgreSQL: a worker that is frozen in a transaction keeps rows locked; do not wait for them.
        is_free = lapsed.select_for_update(skip_locked=True).values_list("pk")
        if not is_free or not lapsed.filter(data_at=data_at).update(**changes):
            return None
        attempt = DeliveryAttempt.objects.filter(claim_token=token, outcome="")
        if verdict is Verdict.ABANDONED and is_untried:
            _unclaim(pk, attempt)
        else:
            attempt.update(outcome=verdict, finished_at=now)
    logs.event(logger, "claim_lapsed", logging.WARNING, outbox_id=pk, outcome=verdict.value)
    return verdict


def _unclaim(pk: int, attempt: QuerySet[DeliveryAttempt]) -> None:
    asked = attempt.values("requested_by_id", "failure_mode").first()
    if asked:
        OutboxMessage.objects.filter(pk=pk).update(**asked, last_attempt=F("last_attempt") - 1)
        attempt.delete()


def _wait_after_lapses(pk: int) -> timedelta:
    outcomes = DeliveryAttempt.objects.filter(outbox_id=pk).order_by("-number").values_list("outcome", flat=True)
    before = itertools.takewhile(lambda outcome: outcome == Verdict.ABANDONED, outcomes[1 : MAX_EXPONENT + 4])
    return timedelta(seconds=lapse_seconds(1 + len(list(before)), settings.OUTBOX_BASE_BACKOFF_SECONDS))


def postpone_queue(account_id: int, until: datetime) -> int:
    """Have the account's waiting rows wait until `until`, as its server is in backoff; no retry is counted.

    At most POSTPONED_AT_ONCE of them, those that are due first; returns how many. The others are not claimed either
    while the server is in backoff.
    """
    waiting = OutboxMessage.objects.waiting().filter(account_id=account_id, next_attempt_at__lt=until)
    first = waiting.order_by("next_attempt_at", "pk").values("pk")[:POSTPONED_AT_ONCE]
    # updated_at stays, so that a person's open form remains valid.
    rows = OutboxMessage.objects.waiting().filter(pk__in=first, next_attempt_at__lt=until)
    return rows.update(next_attempt_at=until)


def lift_sign_in_holds(account_id: int, now: datetime) -> int:
    """Make rows with the hold `sign_in` due at once: the credentials are new, or work again."""
    return _lift(OutboxMessage.objects.whose([account_id]), now)


def lift_outdated_sign_in_holds(now: datetime) -> int:
    """Lift sign-in holds of accounts whose sign-in works.

    Such a hold remains when the credentials were changed during the attempt that was refused, or were accepted again
    elsewhere. Nothing else would release the row.
    """
    return _lift(OutboxMessage.objects.whose(Account.objects.filter(smtp__needs_sign_in_since=None)), now)


def _lift(rows: OutboxQuerySet, now: datetime) -> int:
    return rows.held_for_sign_in().update(hold="", next_attempt_at=now, updated_at=now)
