"""Mail in and out over time, as bars: the numbers, and where each bar stands. Pure but for one query."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet, Sum
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words
from mailbox.models import Counter

WIDTH, HALF = 720, 70  # units of the drawing; received stands on the middle line, sent and failed hang from it
_TITLES = {
    "received": _("%(time)s: %(number)s received"),
    "sent": _("%(time)s: %(number)s sent"),
    "failed": _("%(time)s: %(number)s failed"),
}
_NAMES = {"messages_received": "received", "sends": "sent", "send_failures": "failed"}


@dataclass(frozen=True)
class Period:
    key: str
    label: Words
    step: timedelta
    steps: int
    form: Words  # of a step's time, as Django's date filter has it

    @property
    def length(self) -> timedelta:
        return self.step * self.steps


PERIODS = (
    Period("day", _("24 hours"), timedelta(hours=1), 24, _("D H:i")),
    Period("week", _("7 days"), timedelta(hours=6), 28, _("D d H:i")),
    Period("month", _("30 days"), timedelta(days=1), 30, _("d M")),
)


def period_named(key: str) -> Period:
    return next((each for each in PERIODS if each.key == key), PERIODS[0])


@dataclass
class ChartStep:
    """One stretch of time and what happened in it."""

    start: datetime
    received: int = 0
    sent: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True)
class Chart:
    period: Period
    steps: list[ChartStep]
    bars: list[Bar]
    most: int

    @property
    def received(self) -> int:
        return sum(step.received for step in self.steps)

    @property
    def sent(self) -> int:
        return sum(step.sent for step in self.steps)

    @property
    def failed(self) -> int:
        return sum(step.failed for step in self.steps)


def drawn(counters: QuerySet[Counter], period: Period, now: datetime) -> Chart:
    """The chart of these counters up to now."""
    starts = _starts(period, now)
    rows = (
        counters.filter(hour__gte=starts[0], name__in=_NAMES)
        .order_by()
        .values_list("hour", "name")
        .annotate(total=Sum("value"))
    )
    steps = summed(rows, starts)
    most = max((max(step.received, step.sent + step.failed) for step in steps), default=0)
    return Chart(period, steps, _bars(steps, most, period), most)


def _starts(period: Period, now: datetime) -> list[datetime]:
    """Where the steps begin, oldest first: at whole hours, or at quarter days and days of the reader's time zone.

    Counters are kept by the hour of UTC: where a zone is half an hour off, such an hour belongs to the step it
    begins in.
    """
    if period.step <= timedelta(hours=1):
        current = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return [current - period.step * back for back in reversed(range(period.steps))]
    # By the clock on the wall: a day has 23 or 25 hours when summer time begins or ends.
    wall = timezone.localtime(now).replace(tzinfo=None)
    day = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    current = day + (wall - day) // period.step * period.step
    return [timezone.make_aware(current - period.step * back) for back in reversed(range(period.steps))]


def summed(rows: Iterable[tuple[datetime, str, int]], starts: list[datetime]) -> list[ChartStep]:
    steps = [ChartStep(start) for start in starts]
    for hour, name, total in rows:
        index = bisect_right(starts, hour) - 1
        if index >= 0:
            field = _NAMES[name]
            setattr(steps[index], field, getattr(steps[index], field) + total)
    return steps


def _bars(steps: list[ChartStep], most: int, period: Period) -> list[Bar]:
    if not most:
        return []
    slot = WIDTH / len(steps)
    width, bars = round(slot * 0.7, 2), []
    for index, step in enumerate(steps):
        x = round(index * slot + slot * 0.15, 2)
        at = date_format(timezone.localtime(step.start), str(period.form))
        up, down, lost = (_height(count, most) for count in (step.received, step.sent, step.failed))
        for kind, y, height, count in (
            ("received", HALF - up, up, step.received),
            ("sent", HALF + 1, down, step.sent),
            ("failed", HALF + 1 + down, lost, step.failed),
        ):
            if count:
                bars.append(
                    Bar(x, round(y, 2), width, round(height, 2), kind, _TITLES[kind] % {"time": at, "number": count})
                )
    return bars


def _height(count: int, most: int) -> float:
    """At least one unit for anything that happened, so that one mail beside thousands is seen."""
    return max(1.5, count / most * (HALF - 4)) if count else 0
