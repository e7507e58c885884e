"""One action on all rows that match: counted first, then done row by row by workers, each as a single click does it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import BooleanField, Case, Count, F, Value, When
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext, gettext_noop, ngettext, override

from mailbox.models import AuditEntry
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from outbox.actions import transitions
from outbox.actions.filters import Filters
from outbox.errors import OutboxError
from outbox.models import Operation, OutboxMessage
from outbox.models.messages import OutboxQuerySet

SLICE_SECONDS = 20.0
STALLED = timedelta(seconds=90)  # without a row done: its worker is gone
_WINDOW = 200
Verb, Status, Hold = Operation.Verb, OutboxMessage.Status, OutboxMessage.Hold
OPEN = (Status.PENDING, Status.SENDING, Status.FAILED)  # what is sent or cancelled no action changes

# Why a row was skipped: kept in English, which is also what the catalogue is asked by when it is shown.
NOT_YOURS = gettext_noop("your role for the account is too low")
DECISION = gettext_noop("it may have gone out already and needs a decision of its own")
NO_QUESTION = gettext_noop("its outcome is no question")
SIGN_IN = gettext_noop("the server refused the account's sign-in")
NOT_DUE = gettext_noop("it is not due yet")
ON_ITS_WAY = gettext_noop("it is being sent at this moment")


@dataclass(frozen=True)
class Estimate:
    """What an action would do now: to how many rows, and why not to the others."""

    will: int
    skipped: Counter[str]

    @property
    def total(self) -> int:
        return self.will + self.skipped.total()


def reason_to_skip(verb: str, status: str, hold: str, *, is_due: bool, needs_sign_in: bool, is_operated: bool) -> str:
    """Why a row would be left alone, or ""; the click itself decides again when its turn comes."""
    if not is_operated:
        return NOT_YOURS
    if status == Status.SENDING:
        return ON_ITS_WAY
    if verb == Verb.MARK:
        return "" if hold == Hold.UNCERTAIN else NO_QUESTION
    if hold == Hold.UNCERTAIN:  # a bulk click must never send twice what may have gone out
        return DECISION
    if verb == Verb.CANCEL:
        return ""
    if hold == Hold.SIGN_IN or needs_sign_in:
        return SIGN_IN
    return NOT_DUE if verb == Verb.RETRY and not is_due else ""


def estimate(rows: OutboxQuerySet, verb: str, user: User, now: datetime) -> Estimate:
    """`rows` are those the filter finds. One query, whatever their number."""
    due = Case(When(next_attempt_at__lte=now, then=Value(True)), default=Value(False), output_field=BooleanField())
    refused = F("account__smtp__needs_sign_in_since")
    open_rows = rows.filter(status__in=OPEN).order_by().annotate(is_due=due, refused=refused)
    groups = open_rows.values_list("status", "hold", "is_due", "refused", "account_id").annotate(Count("pk"))
    operated = _operated(user)
    will, skipped = 0, Counter[str]()
    for status, hold, is_due, refused_since, account_id, number in groups:
        is_operated = operated is None or account_id in operated
        reason = reason_to_skip(
            verb, status, hold, is_due=is_due, needs_sign_in=bool(refused_since), is_operated=is_operated
        )
        if reason:
            skipped[reason] += number
        else:
            will += number
    return Estimate(will, skipped)


def _operated(user: User) -> set[int] | None:
    """The accounts the user may operate; None for all of them."""
    if has_role_everywhere(user, Role.OPERATOR):
        return None
    return set(accounts_for(user, Role.OPERATOR).values_list("pk", flat=True))


def visible_to(user: User) -> OutboxQuerySet:
    rows = OutboxMessage.objects.all()
    return rows if has_role_everywhere(user, Role.VIEWER) else rows.filter(account__in=accounts_for(user))


def meant(filters: Filters, user: User, now: datetime) -> OutboxQuerySet:
    return filters.of_state(filters.narrow(visible_to(user), now))


def begin(filters: Filters, verb: str, user: User, key: str, now: datetime) -> Operation:
    """Write down what is asked for; the same key twice is one operation."""
    rows = meant(filters, user, now)
    newest = rows.order_by("-pk").values_list("pk", flat=True).first() or 0
    with transaction.atomic():
        operation, is_new = Operation.objects.get_or_create(
            key=key,
            user=user,
            defaults={
                "verb": verb,
                "query": filters.query(),
                "asked_at": now,
                "moved_at": now,
                "upto_pk": newest,
                "total": estimate(rows, verb, user, now).total,
            },
        )
        if is_new:
            _record(operation, f"bulk_{verb}", user, f"{operation.total} that match {operation.query or 'no filter'}")
    return operation


def run(operation_id: int, *, seconds: float = SLICE_SECONDS, now: Callable[[], datetime] = timezone.now) -> set[int]:
    """Go on with it for so long; return the accounts that have rows to deliver now."""
    operation = Operation.objects.unfinished().select_related("user").filter(pk=operation_id).first()
    ends_at, touched = time.monotonic() + seconds, set[int]()
    while operation and operation.user and operation.user.is_active and not operation.stopped_at:
        window = _window(operation, operation.user)
        operated = _operated(operation.user)
        for pk, account_id in window:
            is_operated = operated is None or account_id in operated
            outcome = _one(operation, pk, is_operated, now())
            if outcome is None:  # stopped, or another worker is ahead
                return touched
            if outcome == "":
                touched.add(account_id)
            operation.after_pk = pk
            if time.monotonic() > ends_at:
                return touched
        if not window:
            break
        operation = Operation.objects.unfinished().select_related("user").filter(pk=operation_id).first()
    finish(operation_id, now())
    return touched


def _window(operation: Operation, user: User) -> list[tuple[int, int]]:
    filters = Filters.of(dict(parse_qsl(operation.query)))
    rows = meant(filters, user, operation.asked_at)
    rows = rows.filter(status__in=OPEN, pk__gt=operation.after_pk, pk__lte=operation.upto_pk)
    return list(rows.order_by("pk").values_list("pk", "account_id")[:_WINDOW])


def _one(operation: Operation, pk: int, is_operated: bool, now: datetime) -> str | None:
    """Act on a row and move on, in one transaction. "" when done, else why not; None when it is not ours to do."""
    here = Operation.objects.unfinished().filter(pk=operation.pk, after_pk=operation.after_pk, stopped_at=None)
    with transaction.atomic():
        if here.update(after_pk=pk, moved_at=now) != 1:
            return None
        reason = _click(operation, pk, now) if is_operated else NOT_YOURS
        mine = Operation.objects.filter(pk=operation.pk)
        if reason:
            skipped: dict[str, int] = mine.values_list("skipped", flat=True).get()
            mine.update(skipped=skipped | {reason: skipped.get(reason, 0) + 1})
        else:
            mine.update(done=F("done") + 1)
    return reason


def _click(operation: Operation, pk: int, now: datetime) -> str:
    user = operation.user
    row = OutboxMessage.objects.select_related("account__smtp").filter(pk=pk).first()
    if row is None:
        return gettext_noop("it is gone")
    known = reason_to_skip(
        operation.verb,
        row.status,
        row.hold,
        is_due=row.next_attempt_at <= now,
        needs_sign_in=bool(row.account.smtp.needs_sign_in_since),
        is_operated=True,
    )
    if known:
        return known
    try:
        if operation.verb == Verb.CANCEL:
            transitions.cancel(pk, user=user, now=now)
        elif operation.verb == Verb.MARK:
            transitions.mark_as_sent(pk, user=user, now=now)
        else:
            transitions.ask_retry(pk, user=user, now=now, now_anyway=operation.verb == Verb.SEND_NOW)
    except OutboxError as refused:
        said = str(refused).removeprefix(transitions.NOT_RETRYABLE).rstrip(".")
        return said[:1].lower() + said[1:200]
    return ""


def stop(operation: Operation, user: User, now: datetime) -> bool:
    """What is done stays done; False when it was over already."""
    with transaction.atomic():
        running = Operation.objects.unfinished().filter(pk=operation.pk, stopped_at=None)
        stopped = running.update(stopped_at=now, stopped_by=user, finished_at=now) == 1
        if stopped:
            operation.refresh_from_db()
            _record_result(operation, "bulk_stopped", user)
    return stopped


def finish(operation_id: int, now: datetime) -> None:
    with transaction.atomic():
        if Operation.objects.unfinished().filter(pk=operation_id).update(finished_at=now, moved_at=now) == 1:
            operation = Operation.objects.select_related("user").get(pk=operation_id)
            _record_result(operation, "bulk_finished", operation.user)


def stalled(now: datetime) -> list[int]:
    return list(Operation.objects.unfinished().filter(moved_at__lt=now - STALLED).values_list("pk", flat=True))


def untouched(operation: Operation) -> int:
    """Rows that matched when it was asked for, and no longer when their turn came; before its end: still to do."""
    left: int = operation.total - operation.done - sum(operation.skipped.values())
    return max(0, left)


def done_words(verb: str, number: int) -> str:
    """ "212 retried", of the verb of a click on many rows."""
    words = {
        Verb.RETRY.value: ngettext("%(number)s retried", "%(number)s retried", number),
        Verb.SEND_NOW.value: ngettext("%(number)s sent now", "%(number)s sent now", number),
        Verb.CANCEL.value: ngettext("%(number)s cancelled", "%(number)s cancelled", number),
        Verb.MARK.value: ngettext("%(number)s marked as sent", "%(number)s marked as sent", number),
    }
    return words[verb] % {"number": grouped(number)}


def honest(verb: str, number: int, skipped: Mapping[str, int]) -> str:
    """ "212 retried, 3 skipped: 3 because: it is not due yet." """
    if not skipped:
        return f"{done_words(verb, number)}."
    reasons = "; ".join(
        gettext("%(number)s because: %(reason)s") % {"number": grouped(count), "reason": gettext(reason)}
        for reason, count in by_number(skipped)
    )
    number_skipped = sum(skipped.values())
    return ngettext(
        "%(done)s, %(number)s skipped: %(reasons)s.", "%(done)s, %(number)s skipped: %(reasons)s.", number_skipped
    ) % {"done": done_words(verb, number), "number": grouped(number_skipped), "reasons": reasons}


def result_of(operation: Operation) -> str:
    """As `honest`, and what became of the rows that it did not come to."""
    text = honest(operation.verb, operation.done, operation.skipped)
    if left := untouched(operation):
        words = (
            ngettext("%(number)s were left as they are.", "%(number)s were left as they are.", left)
            if operation.stopped_at
            else ngettext(
                "%(number)s had changed before their turn came.", "%(number)s had changed before their turn came.", left
            )
        )
        text += " " + words % {"number": grouped(left)}
    return text


def grouped(number: int) -> str:
    return number_format(number, force_grouping=True)


def by_number(skipped: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(skipped.items(), key=lambda each: (-each[1], each[0]))


def _record_result(operation: Operation, verb: str, user: User | None) -> None:
    with override("en"):  # stored text is English, whoever clicked
        _record(operation, verb, user, result_of(operation))


def _record(operation: Operation, verb: str, user: User | None, detail: str) -> None:
    values: dict[str, Any] = {"verb": verb, "target": f"operation:{operation.pk}", "detail": detail[:500]}
    AuditEntry.objects.create(user=user, **values)
