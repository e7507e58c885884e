"""The chart of mail in and out: bars of a period beside those of the period before, as numbers and coordinates.

Pure except for one query.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet, Sum
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words
from mailbox.localized import grouped
from mailbox.models import Counter

WIDTH, HEIGHT = 720, 142  # units of the SVG; bars of received mail go up from the axis, sent and failed go down
_LEAST_ROOM = 8  # units on a side of the axis that has any bar
_TITLES = {
    "received": _("%(time)s: %(number)s received"),
    "sent": _("%(time)s: %(number)s sent"),
    "failed": _("%(time)s: %(number)s failed"),
}
_NAMES = {"messages_received": "received", "sends": "sent", "send_failures": "failed"}


@dataclass(frozen=True)
class Period:
    """A period that the chart can show, in `steps` bars of the length `step`. `key`: its value in the URL."""

    key: str
    label: Words
    step: timedelta
    steps: int
    form: Words  # format of a step's time, for Django's date filter

    @property
    def length(self) -> timedelta:
        """The whole period."""
        return self.step * self.steps


PERIODS = (
    Period("day", _("24 hours"), timedelta(hours=1), 24, _("D H:i")),
    Period("week", _("7 days"), timedelta(hours=6), 28, _("D d H:i")),
    Period("month", _("30 days"), timedelta(days=1), 30, _("d M")),
)


def period_named(key: str) -> Period:
    """The period with this key; the first one for an unknown key."""
    return next((each for each in PERIODS if each.key == key), PERIODS[0])


@dataclass
class ChartStep:
    """One step of the chart: a stretch of time and its numbers."""

    start: datetime
    received: int = 0
    sent: int = 0
    failed: int = 0

    @property
    def tried(self) -> int:
        """How many mails were tried."""
        return self.sent + self.failed


@dataclass(frozen=True)
class Bar:
    """A bar in the units of the drawing, WIDTH by HEIGHT. `title`: the numbers as a tooltip."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True)
class Totals:
    """The sums of a period; false if all are 0."""

    received: int
    sent: int
    failed: int

    @classmethod
    def of(cls, steps: Sequence[ChartStep]) -> Totals:
        """The sums of these steps."""
        return cls(*(sum(getattr(step, name) for step in steps) for name in ("received", "sent", "failed")))

    def __bool__(self) -> bool:
        return bool(self.received or self.sent or self.failed)


@dataclass(frozen=True)
class Scale:
    """The position of the axis, and units per mail: one scale for both sides, which together fill the drawing."""

    axis: float
    unit: float

    @classmethod
    def of(cls, most_up: int, most_down: int) -> Scale:
        """For so many mails at most above and below the axis."""
        room = HEIGHT - 2
        axis = 1 + room * most_up / max(most_up + most_down, 1)
        if most_up and most_down:
            axis = min(max(axis, _LEAST_ROOM), HEIGHT - _LEAST_ROOM)
        units = [space / most for space, most in ((axis - 1, most_up), (HEIGHT - 1 - axis, most_down)) if most]
        return cls(round(axis, 2), min(units, default=0))

    def height(self, count: int) -> float:
        """The height of a bar, at least one unit, so that one mail is visible beside thousands."""
        return round(max(1.5, count * self.unit), 2) if count else 0


@dataclass(frozen=True)
class Chart:
    """The numbers and the drawing of one period. `most`: the highest number of a step, above or below the axis."""

    period: Period
    steps: list[ChartStep]
    before: list[ChartStep]  # as many steps of the period before
    scale: Scale
    bars: list[Bar]
    most: int

    @property
    def totals(self) -> Totals:
        """The sums of the period."""
        return Totals.of(self.steps)

    @property
    def totals_before(self) -> Totals:
        """The sums of the period before."""
        return Totals.of(self.before)

    @property
    def lines_before(self) -> list[str]:
        """The period before as SVG paths of two step lines, received and sent or failed; none if it had no mail."""
        axis, height = self.scale.axis, self.scale.height
        found = []
        if any(step.received for step in self.before):
            found.append(_path(self.before, lambda step: axis - height(step.received)))
        if any(step.tried for step in self.before):
            found.append(_path(self.before, lambda step: axis + height(step.tried)))
        return found

    @property
    def pairs(self) -> list[tuple[ChartStep, ChartStep]]:
        """Each step with the corresponding one of the period before."""
        return list(zip(self.steps, self.before, strict=True))


def drawn(counters: QuerySet[Counter], period: Period, now: datetime) -> Chart:
    """The chart of these counters, for the period that ends at `now`."""
    starts = starts_of(period, now, 2 * period.steps)
    rows = (
        counters.filter(hour__gte=starts[0], name__in=_NAMES)
        .order_by()
        .values_list("hour", "name")
        .annotate(total=Sum("value"))
    )
    both = summed(rows, starts)
    before, steps = both[: period.steps], both[period.steps :]
    scale = Scale.of(max(step.received for step in both), max(step.tried for step in both))
    most = max(max(step.received, step.tried) for step in steps)
    return Chart(period, steps, before, scale, _bars(steps, scale, period), most)


def starts_of(period: Period, now: datetime, count: int) -> list[datetime]:
    """The begins of the last `count` steps, oldest first: whole hours, quarter days or days in the reader's time zone.

    Counters are per hour of UTC. In a time zone with a half hour, such an hour belongs to the step it begins in.
    """
    if period.step <= timedelta(hours=1):
        current = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return [current - period.step * back for back in reversed(range(count))]
    # By local time: a day has 23 or 25 hours when daylight saving time begins or ends.
    wall = timezone.localtime(now).replace(tzinfo=None)
    day = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    current = day + (wall - day) // period.step * period.step
    return [timezone.make_aware(current - period.step * back) for back in reversed(range(count))]


def summed(rows: Iterable[tuple[datetime, str, int]], starts: list[datetime]) -> list[ChartStep]:
    """The numbers of the steps that begin at `starts`, in ascending order. rows: (hour, name of the counter,
    number)."""
    steps = [ChartStep(start) for start in starts]
    for hour, name, total in rows:
        index = bisect_right(starts, hour) - 1
        if index >= 0:
            field = _NAMES[name]
            setattr(steps[index], field, getattr(steps[index], field) + total)
    return steps


def _bars(steps: list[ChartStep], scale: Scale, period: Period) -> list[Bar]:
    slot = WIDTH / len(steps)
    width, bars = round(slot * 0.7, 2), []
    for index, step in enumerate(steps):
        x = round(index * slot + slot * 0.15, 2)
        at = date_format(timezone.localtime(step.start), str(period.form))
        up, down, lost = (scale.height(count) for count in (step.received, step.sent, step.failed))
        for kind, y, height, count in (
            ("received", scale.axis - up, up, step.received),
            ("sent", scale.axis, down, step.sent),
            ("failed", scale.axis + down, lost, step.failed),
        ):
            if count:
                title = _TITLES[kind] % {"time": at, "number": grouped(count)}
                bars.append(Bar(x, round(y, 2), width, height, kind, title))
    return bars


def _path(steps: list[ChartStep], y_of: Callable[[ChartStep], float]) -> str:
    slot = WIDTH / len(steps)
    levels = [round(y_of(step), 2) for step in steps]
    first, *others = (f"V{y}H{round((number + 1) * slot, 2)}" for number, y in enumerate(levels))
    return "".join([f"M0 {levels[0]}", first, *others])
