"""The clock of the outbox: two schedules half a minute apart, as django-q2 knows none shorter than a minute."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

TAKING_UP = ("outbox: take up what is done to many", "outbox.tasks.sweep_operations")
COUNTING = ("outbox: count what is kept", "outbox.tasks.count_storage")
SWEEPS = {  # name -> what, and at which second
    "outbox: sweep on the minute": ("outbox.tasks.sweep", 0),
    "outbox: sweep on the half minute": ("outbox.tasks.sweep", 30),
    "outbox: look afterwards on the minute": ("outbox.tasks.sweep_afterwards", 10),
    "outbox: look afterwards on the half minute": ("outbox.tasks.sweep_afterwards", 40),
}


def make_schedules(**_: Any) -> None:
    """Make them, once, whatever came before: `Schedule.name` is not unique. Runs after each migrate."""
    from django_q.models import Schedule

    now = timezone.now()
    sweeps = [(name, function, second, 1) for name, (function, second) in SWEEPS.items()]
    for name, function, second, minutes in [*sweeps, (*TAKING_UP, 50, 1), (*COUNTING, 20, 60)]:
        wanted = {"func": function, "schedule_type": Schedule.MINUTES, "minutes": minutes, "repeats": -1}
        there = list(Schedule.objects.filter(name=name).order_by("pk").values_list("pk", flat=True))
        if there:
            Schedule.objects.filter(pk__in=there[1:]).delete()
            Schedule.objects.filter(pk=there[0]).update(**wanted)
        else:
            Schedule.objects.create(name=name, next_run=_next(now, second), **wanted)


def _next(now: datetime, second: int) -> datetime:
    at = now.replace(second=second, microsecond=0)
    return at if at > now else at + timedelta(minutes=1)
