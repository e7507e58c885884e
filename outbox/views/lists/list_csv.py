"""The outbox list as CSV."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from outbox.views.row_view import RowView

CSV_HEAD = ("id", "state", "subject", "to", "cc", "from", "written", "last_try", "sent", "tries", "error")


def csv_lines(rows: Iterable[RowView]) -> list[list[object]]:
    """The lines below CSV_HEAD. Times are in ISO 8601; "" for one that is not there."""
    return [
        [
            each.row.pk,
            each.tab.name,
            each.row.subject,
            each.row.to,
            each.row.cc,
            each.row.account.email,
            _time(each.row.created_at),
            _time(getattr(each.row, "tried_at", None)),
            _time(each.row.sent_at),
            each.tries,
            each.error,
        ]
        for each in rows
    ]


def _time(at: datetime | None) -> str:
    """The time in ISO 8601, in the reader's time zone, with its offset; "" for None."""
    return timezone.localtime(at).isoformat(timespec="seconds") if at else ""
