"""How far older mail has been fetched, and how long the rest takes. Decides from numbers; runs no query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext, ngettext

from mailbox.localized import grouped

RECENT = timedelta(minutes=15)  # the rate is taken from runs of this time
STALLED = timedelta(minutes=3)  # with nothing fetched for this long there is no estimate


@dataclass(frozen=True)
class FetchedByRun:
    """What one run fetched of one folder: begin, end and number of messages, from the line of its report."""

    began_at: datetime
    ended_at: datetime
    count: int


@dataclass(frozen=True)
class BackfillProgress:
    """`done` of `total` messages are stored. `seconds_left`: estimate for the rest, None when there is none."""

    done: int
    total: int
    seconds_left: float | None

    @property
    def percent(self) -> int:
        """0 to 100, rounded down so that 100 means that all are stored."""
        return 100 if self.done >= self.total else min(int(100 * self.done / self.total), 99)

    @property
    def time_left(self) -> str:
        """The estimate in words; "" when there is none."""
        return "" if self.seconds_left is None else about(self.seconds_left)


def rate_of(lines: Iterable[FetchedByRun], now: datetime) -> float | None:
    """Messages per second of wall-clock time, pauses between runs included; None when nothing was fetched lately."""
    recent = [line for line in lines if line.count and line.ended_at > now - RECENT]
    if not recent or max(line.ended_at for line in recent) < now - STALLED:
        return None
    began = min(max(line.began_at, now - RECENT) for line in recent)
    seconds = (max(line.ended_at for line in recent) - began).total_seconds()
    return sum(line.count for line in recent) / seconds if seconds > 0 else None


def progress(done: int, total: int, rate: float | None) -> BackfillProgress:
    """`rate`: messages per second. `done` may exceed `total`, since removed messages stay stored for a while."""
    done = min(done, total)
    return BackfillProgress(done, total, (total - done) / rate if rate else None)


def together(parts: Iterable[BackfillProgress]) -> BackfillProgress | None:
    """The progress of several folders together; None for no folders. No estimate when one of them has none."""
    each = list(parts)
    if not each:
        return None
    left = [part.seconds_left for part in each]
    seconds = None if None in left else sum(seconds for seconds in left if seconds is not None)
    return BackfillProgress(sum(part.done for part in each), sum(part.total for part in each), seconds)


def about(seconds: float) -> str:
    """A duration as a sentence part, such as "about 3 minutes"."""
    if seconds < 45:
        return gettext("less than a minute")
    if seconds >= 1.5 * 86_400:
        days = round(seconds / 86_400)
        return ngettext("about %(number)s day", "about %(number)s days", days) % {"number": grouped(days)}
    if seconds >= 1.5 * 3600:
        hours = round(seconds / 3600)
        return ngettext("about %(number)s hour", "about %(number)s hours", hours) % {"number": grouped(hours)}
    minutes = max(round(seconds / 60), 1)
    return ngettext("about %(number)s minute", "about %(number)s minutes", minutes) % {"number": grouped(minutes)}
