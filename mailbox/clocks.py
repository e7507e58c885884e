"""Comparisons of times that survive a wrong clock: a machine that starts in the wrong year, or wakes after a day.

A time written by a clock that was ahead must not block anything until then. So each wait has a longest duration, and a
stored time further ahead than that is taken for wrong. (Removal by age has a guard of its own: mailbox.deletions.)
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

LONGEST_WAIT = timedelta(days=1)  # of an account or folder, even if a server asks for more
SLACK = timedelta(minutes=10)  # how far the clocks of machines that share a database may differ


def is_over(field: str, now: datetime, longest: timedelta = LONGEST_WAIT) -> Q:
    """Rows whose wait is over: the column is NULL, past, or further ahead than the longest wait (a wrong clock)."""
    return Q(**{field: None}) | Q(**{f"{field}__lte": now}) | Q(**{f"{field}__gt": now + longest + SLACK})


def waits(until: datetime | None, now: datetime, longest: timedelta = LONGEST_WAIT) -> bool:
    """Whether a wait until this time is not over; the opposite of `is_over`, of a time that was read."""
    return until is not None and now < until <= now + longest + SLACK


def is_stale(field: str, after: timedelta, now: datetime) -> Q:
    """Rows whose process must have died: it wrote to the column `after` ago at the latest, or in the future (a wrong
    clock)."""
    return Q(**{f"{field}__lte": now - after}) | Q(**{f"{field}__gt": now + SLACK})


def is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    """Whether something done `every` interval is due again; so it is as well when `last` is in the future."""
    return last is None or last <= now - every or last > now + SLACK
