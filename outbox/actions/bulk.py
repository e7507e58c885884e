"""One action on all rows that match: counted first, then done row by row by workers, each as a single click does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_noop, override

from mailbox import features
from mailbox.models import AuditEntry
from outbox.actions import audit_part, transitions
from outbox.actions.estimate import (
    CHANGED,
    NOT_YOURS,
    OPEN,
    BulkQuestion,
    estimate,
    meant,
    operated_by,
    reason_to_skip,
    unchanged_since,
)
from outbox.actions.filters import OutboxFilters
from outbox.actions.results import FOLLOWED_AT_MOST, HANDED_OVER, result_of
from outbox.errors import ChangedMeanwhile, OutboxError
from outbox.models import Operation, OperationRow, OutboxMessage

SLICE_SECONDS = 20.0
STALLED = timedelta(seconds=90)  # without a row done: its worker is gone
_WINDOW = 200
Verb = Operation.Verb


def begin(asked: BulkQuestion, user: User, now: datetime) -> Operation | None:
    """Write down what a person agreed to; the same page sent twice is one operation.

    None when more rows are meant now than the page said: then it must ask again.
    """
    filters = OutboxFilters.of_query(asked.query)
    matching = meant(filters, user, asked.asked_at).filter(created_at__lte=asked.asked_at)
    rows = unchanged_since(matching, asked.asked_at).exclude(pk__in=asked.in_flight)
    newest = matching.order_by("-pk").values_list("pk", flat=True).first() or 0
    values = {"verb": asked.verb, "query": asked.query, "asked_at": asked.asked_at, "moved_at": now, "upto_pk": newest}
    values |= {"total": asked.total, "expected": asked.will, "in_flight": list(asked.in_flight)}
    with transaction.atomic():
        known = Operation.objects.filter(key=asked.key, user=user).first()
        if known is None and estimate(rows, asked.verb, operated_by(user), features.Rollouts.read()).will > asked.will:
            return None
        operation, is_new = Operation.objects.get_or_create(key=asked.key, user=user, defaults=values)
        if is_new:
            detail = f"{operation.total} that match {operation.query or 'no filter'}"
            _record(operation, f"bulk_{asked.verb}", user, detail)
    return operation


def finished(
    verb: str, user: User, handed_over: Mapping[int, int], skipped: Mapping[str, int], now: datetime
) -> Operation:
    """Write down what a click on ticked rows has handed to the workers, so that a page can follow what comes of it.

    `handed_over`: the number of the attempt that was asked for, by row.
    """
    total = len(handed_over) + sum(skipped.values())
    counts: dict[str, Any] = {"total": total, "expected": total, "done": len(handed_over), "skipped": dict(skipped)}
    with transaction.atomic():
        operation = Operation.objects.create(
            verb=verb, user=user, asked_at=now, moved_at=now, finished_at=now, upto_pk=0, **counts
        )
        OperationRow.objects.bulk_create(
            OperationRow(operation=operation, outbox_id=pk, attempt=number) for pk, number in handed_over.items()
        )
    return operation


def run(operation_id: int, *, seconds: float = SLICE_SECONDS, now: Callable[[], datetime] = timezone.now) -> set[int]:
    """Go on with it for so long; return the accounts that have rows to deliver now."""
    asked = AuditEntry.objects.filter(target=f"operation:{operation_id}").order_by("pk").first()
    with audit_part.parts_of(asked.pk if asked else None):
        return _run(operation_id, seconds, now)


def _run(operation_id: int, seconds: float, now: Callable[[], datetime]) -> set[int]:
    operation = Operation.objects.unfinished().select_related("user").filter(pk=operation_id).first()
    ends_at, touched = time.monotonic() + seconds, set[int]()
    while operation and operation.user and operation.user.is_active and not operation.stopped_at:
        window = _window(operation, operation.user)
        operated = operated_by(operation.user)
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
    filters = OutboxFilters.of_query(operation.query)
    rows = meant(filters, user, operation.asked_at)
    rows = rows.filter(status__in=OPEN, pk__gt=operation.after_pk, pk__lte=operation.upto_pk)
    return list(rows.order_by("pk").values_list("pk", "account_id")[:_WINDOW])


def _one(operation: Operation, pk: int, is_operated: bool, now: datetime) -> str | None:
    """Act on a row and move on, in one transaction. "" when done, else why not; None when it is not ours to do."""
    here = Operation.objects.unfinished().filter(pk=operation.pk, after_pk=operation.after_pk, stopped_at=None)
    with transaction.atomic():
        if here.update(after_pk=pk, moved_at=now) != 1:
            return None
        mine = Operation.objects.filter(pk=operation.pk)
        done, expected = mine.values_list("done", "expected").get()
        reason = _click(operation, pk, now, is_full=done >= expected) if is_operated else NOT_YOURS
        if reason:
            skipped: dict[str, int] = mine.values_list("skipped", flat=True).get()
            mine.update(skipped=skipped | {reason: skipped.get(reason, 0) + 1})
        else:
            mine.update(done=F("done") + 1)
    return reason


def _click(operation: Operation, pk: int, now: datetime, *, is_full: bool) -> str:
    """`is_full`: it was done to as many as the page said, so that this one cannot be among them."""
    user = operation.user
    row = OutboxMessage.objects.select_related("account__smtp").filter(pk=pk).first()
    if row is None:
        return gettext_noop("it is gone")
    attempt = row.last_attempt + 1
    known = reason_to_skip(
        operation.verb,
        row.status,
        row.hold,
        needs_sign_in=bool(row.account.smtp.needs_sign_in_since),
        is_operated=True,
    )
    if known:
        return known
    if (
        is_full or pk in operation.in_flight
    ):  # its outcome may bear a time before the person was asked: see BulkQuestion
        return CHANGED
    seen = transitions.ShownState(unchanged_since=operation.asked_at)
    try:
        if operation.verb == Verb.CANCEL:
            transitions.cancel(pk, user=user, now=now, seen=seen)
        elif operation.verb == Verb.MARK:
            transitions.mark_as_sent(pk, user=user, now=now, seen=seen)
        elif operation.verb == Verb.SEND_AGAIN:
            transitions.ask_again(pk, user=user, now=now, seen=seen)
        else:
            transitions.ask_retry(pk, user=user, now=now, now_anyway=True, seen=seen)
    except ChangedMeanwhile:
        return CHANGED
    except OutboxError as refused:
        said = str(refused).removeprefix(transitions.NOT_RETRYABLE).rstrip(".")
        return said[:1].lower() + said[1:200]
    if operation.verb in HANDED_OVER and operation.done < FOLLOWED_AT_MOST:
        OperationRow.objects.create(operation=operation, outbox=row, attempt=attempt)
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


def _record_result(operation: Operation, verb: str, user: User | None) -> None:
    with override("en"):  # stored text is English, whoever clicked
        _record(operation, verb, user, result_of(operation))


def _record(operation: Operation, verb: str, user: User | None, detail: str) -> None:
    values: dict[str, Any] = {"verb": verb, "target": f"operation:{operation.pk}", "detail": detail[:500]}
    AuditEntry.objects.create(user=user, **values)
