"""Bulk actions: one action on all rows that match a filter. Workers do it row by row, as a click on each row would."""

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
from mailbox.clocks import is_stale
from mailbox.models import AuditEntry, audit_part
from outbox.actions import transitions
from outbox.actions.estimate import (
    CHANGED,
    NOT_YOURS,
    OPEN,
    BulkQuestion,
    estimate,
    matching_rows,
    operated_by,
    reason_to_skip,
    unchanged_since,
)
from outbox.actions.filters import OutboxFilters
from outbox.actions.results import FOLLOWED_AT_MOST, HANDED_OVER, result_in_words
from outbox.errors import ChangedMeanwhile, OutboxError
from outbox.models import Operation, OperationRow, OutboxMessage

SLICE_SECONDS = 20.0
STALLED = timedelta(seconds=90)  # if no row was done for so long, the operation's worker is taken for dead
_WINDOW = 200
Verb = Operation.Verb


def begin(asked: BulkQuestion, user: User, now: datetime) -> Operation | None:
    """Save the operation that a person confirmed; the same form sent twice makes one operation.

    Returns None if more rows would be changed now than the page said: then the page must ask again.
    """
    filters = OutboxFilters.of_query(asked.query)
    matching = matching_rows(filters, user, asked.asked_at).filter(created_at__lte=asked.asked_at)
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
            detail = f"{operation.total} with {filters.in_english}" if operation.query else f"{operation.total}, all"
            _record(operation, f"bulk_{asked.verb}", user, detail)
    return operation


def finished(
    verb: str, user: User, handed_over: Mapping[int, int], skipped: Mapping[str, int], now: datetime
) -> Operation:
    """Save a finished operation for a click on ticked rows, so that a page can show the outcomes of its mails.

    handed_over: outbox pk -> number of the attempt that was asked for. skipped: reason -> number of rows.
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
    """Continue an operation for `seconds`; returns the pks of accounts whose rows it changed, for delivery."""
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
            if outcome is None:  # the operation was stopped, or another worker did this row
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
    rows = matching_rows(filters, user, operation.asked_at)
    rows = rows.filter(status__in=OPEN, pk__gt=operation.after_pk, pk__lte=operation.upto_pk)
    return list(rows.order_by("pk").values_list("pk", "account_id")[:_WINDOW])


def _one(operation: Operation, pk: int, is_operated: bool, now: datetime) -> str | None:
    """Do the action on a row and move `after_pk` to it, in one transaction.

    Returns "" if it was done, the reason if the row was skipped, None if the operation was stopped or another worker
    has moved `after_pk`.
    """
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
    """Do the action on one row; returns "" or the reason why it was skipped.

    is_full: it was done already on as many rows as the page said, so this row cannot be one of them.
    """
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
    ):  # its outcome may have an earlier time than `asked_at` and be committed after it: see BulkQuestion.in_flight
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
    """Stop an operation; rows that were changed stay so. Returns False if it had ended already."""
    with transaction.atomic():
        running = Operation.objects.unfinished().filter(pk=operation.pk, stopped_at=None)
        stopped = running.update(stopped_at=now, stopped_by=user, finished_at=now) == 1
        if stopped:
            operation.refresh_from_db()
            _record_result(operation, "bulk_stopped", user)
    return stopped


def finish(operation_id: int, now: datetime) -> None:
    """End an operation that has no rows left, and record its result; does nothing if it has ended already."""
    with transaction.atomic():
        if Operation.objects.unfinished().filter(pk=operation_id).update(finished_at=now, moved_at=now) == 1:
            operation = Operation.objects.select_related("user").get(pk=operation_id)
            _record_result(operation, "bulk_finished", operation.user)


def stalled(now: datetime) -> list[int]:
    """The pks of unfinished operations whose last row was done longer ago than STALLED; a sweep queues them again."""
    return list(Operation.objects.unfinished().filter(is_stale("moved_at", STALLED, now)).values_list("pk", flat=True))


def _record_result(operation: Operation, verb: str, user: User | None) -> None:
    with override("en"):  # stored text is English, whatever the user's language
        _record(operation, verb, user, result_in_words(operation))


def _record(operation: Operation, verb: str, user: User | None, detail: str) -> None:
    values: dict[str, Any] = {"verb": verb, "target": f"operation:{operation.pk}", "detail": detail[:500]}
    AuditEntry.objects.create(user=user, **values)
