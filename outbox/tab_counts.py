"""Numbers of final rows by account, counted periodically, since pages must not count a million rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Min, QuerySet, Sum

from outbox.models import OutboxCount, OutboxMessage

OVER = (OutboxMessage.Status.SENT, OutboxMessage.Status.CANCELLED)


@dataclass(frozen=True)
class StoredCount:
    """The number of rows of one final state."""

    number: int
    at: datetime  # time of the oldest count in the sum


def put(counted: Iterable[tuple[int, str, int]], accounts: Iterable[int], now: datetime) -> None:
    """Replace all counts. counted: (account pk, status, number). accounts: pks of the accounts that exist."""
    there = set(accounts)
    rows = [
        OutboxCount(account_id=account, status=status, number=number, counted_at=now)
        for account, status, number in counted
        if account in there and status in OVER
    ]
    with transaction.atomic():
        OutboxCount.objects.all().delete()
        OutboxCount.objects.bulk_create(rows)


def read(rows: QuerySet[OutboxCount]) -> dict[str, StoredCount]:
    """status -> sum over these counts; one query."""
    sums = rows.order_by().values_list("status").annotate(Sum("number"), Min("counted_at"))
    return {status: StoredCount(number, at) for status, number, at in sums}
