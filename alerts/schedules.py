"""The schedules of the alerts: problems are looked for every minute, events are posted every half minute."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django_q.models import Schedule

from mailbox import schedules
from mailbox.schedules import PlannedTask

PLANNED = (
    PlannedTask("alerts: look for incidents", "alerts.tasks.watch", Schedule.MINUTES, 1),
    PlannedTask("alerts: post events", "alerts.tasks.send_events", Schedule.MINUTES, 1, 15),
    PlannedTask("alerts: post events on the half minute", "alerts.tasks.send_events", Schedule.MINUTES, 1, 45),
    PlannedTask("alerts: prune", "alerts.tasks.prune", Schedule.MINUTES, 24 * 60),
)


def make_schedules(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Create or update the schedules. Runs after each migrate."""
    schedules.make_schedules(using, PLANNED)
