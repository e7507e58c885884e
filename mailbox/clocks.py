"""Clocks are wrong at times: a machine starts in the wrong year, a virtual one wakes after a day. What follows from it.

What was written by a clock that was ahead must not lock anything for as long, and what a clock says to be old is not
removed until a second look, a day later, agrees. The longest honest waits are here, so that whatever lies further ahead
is known to be none.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

LONGEST_WAIT = timedelta(days=1)  # of an account or folder, whatever a server asks for
SLACK = timedelta(minutes=10)  # machines that share a database may differ by so much


def is_over(field: str, now: datetime) -> Q:
    """Rows whose wait is over: the column is empty, past, or further ahead than any honest wait."""
    return Q(**{field: None}) | Q(**{f"{field}__lte": now}) | Q(**{f"{field}__gt": now + LONGEST_WAIT + SLACK})


def is_waiting(field: str, now: datetime) -> Q:
    return Q(**{f"{field}__gt": now, f"{field}__lte": now + LONGEST_WAIT + SLACK})


def is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    """Whether what is done `every` so often is due; also when it was last done in the future."""
    return last is None or last <= now - every or last > now + SLACK
