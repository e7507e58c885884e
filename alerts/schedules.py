"""The clock of the alerts: each minute, on the workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone

PLANNED = {  # name -> what, how many minutes lie between, and at which second it begins
    "alerts: look for incidents": ("alerts.tasks.watch", 1, 0),
    "alerts: post events": ("alerts.tasks.send_events", 1, 15),
    "alerts: post events on the half minute": ("alerts.tasks.send_events", 1, 45),
    "alerts: prune": ("alerts.tasks.prune", 1440, 0),
}


def make_schedules(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Make them, once, whatever came before: `Schedule.name` is not unique. Runs after each migrate."""
    from django_q.models import Schedule

    if Schedule._meta.db_table not in connections[using].introspection.table_names():
        return  # `migrate alerts` alone, before django-q2 has its tables
    for name, (function, minutes, second) in PLANNED.items():
        wanted = {"func": function, "schedule_type": Schedule.MINUTES, "minutes": minutes, "repeats": -1}
        there = list(Schedule.objects.filter(name=name).order_by("pk").values_list("pk", flat=True))
        if there:
            Schedule.objects.filter(pk__in=there[1:]).delete()
            Schedule.objects.filter(pk=there[0]).update(**wanted)
        else:
            Schedule.objects.create(name=name, next_run=timezone.now() + timedelta(seconds=second), **wanted)
