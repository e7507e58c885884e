"""Mail in and out over time, as bars: the numbers, and where each bar stands. Pure but for one query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from mailbox.models import Counter

from django.db.models import QuerySet, Sum

WIDTH, HALF = 720, 70  # units of the drawing; received stands on the middle line, sent and failed hang from it
_NAMES = {"messages_received": "received", "sends": "sent", "send_failures": "failed"}


@dataclass(frozen=True)
class Period:
    key: str
    label: str
    step: timedelta
    steps: int
    form: str  # of a step's time, in words

    @property
    def length(self) -> timedelta:
        return self.step * self.steps


PERIODS = (
    Period("day", "24 hours", timedelta(hours=1), 24, "%a %H:%M"),
    Period("week", "7 days", timedelta(hours=6), 28, "%a %d %H:%M"),
    Period("month", "30 days", timedelta(days=1), 30, "%d %b"),
)


def period_named(key: str) -> Period:
    return next((each for each in PERIODS if each.key == key), PERIODS[0])


@dataclass
class Step:
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
    steps: list[Step]
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
    first = _first_step(period, now)
    rows = (
        counters.filter(hour__gte=first, name__in=_NAMES)
        .order_by()
        .values_list("hour", "name")
        .annotate(total=Sum("value"))
    )
    steps = summed(rows, period, first)
    most = max((max(step.received, step.sent + step.failed) for step in steps), default=0)
    return Chart(period, steps, _bars(steps, most, period), most)


def _first_step(period: Period, now: datetime) -> datetime:
    """The start of the oldest step: steps begin at whole hours, quarter days or days, in UTC as the counters do."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    current = day + (now - day) // period.step * period.step
    return current - period.step * (period.steps - 1)


def summed(rows: Iterable[tuple[datetime, str, int]], period: Period, first: datetime) -> list[Step]:
    steps = [Step(first + period.step * index) for index in range(period.steps)]
    for hour, name, total in rows:
        index = (hour - first) // period.step
        if 0 <= index < len(steps):
            field = _NAMES[name]
            setattr(steps[index], field, getattr(steps[index], field) + total)
    return steps


def _bars(steps: list[Step], most: int, period: Period) -> list[Bar]:
    if not most:
        return []
    slot = WIDTH / len(steps)
    width, bars = round(slot * 0.7, 2), []
    for index, step in enumerate(steps):
        x = round(index * slot + slot * 0.15, 2)
        at = step.start.strftime(period.form)
        up, down, lost = (_height(count, most) for count in (step.received, step.sent, step.failed))
        for kind, y, height, count in (
            ("received", HALF - up, up, step.received),
            ("sent", HALF + 1, down, step.sent),
            ("failed", HALF + 1 + down, lost, step.failed),
        ):
            if count:
                bars.append(Bar(x, round(y, 2), width, round(height, 2), kind, f"{at}: {count} {kind}"))
    return bars


def _height(count: int, most: int) -> float:
    """At least one unit for anything that happened, so that one mail beside thousands is seen."""
    return max(1.5, count / most * (HALF - 4)) if count else 0
