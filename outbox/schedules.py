"""The schedules of outbox's tasks. A task each half minute has two, since django-q2's shortest schedule is a minute."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django_q.models import Schedule

from mailbox import schedules
from mailbox.schedules import PlannedTask

PLANNED = (
    PlannedTask("outbox: sweep on the minute", "outbox.tasks.sweep", Schedule.MINUTES, 1),
    PlannedTask("outbox: sweep on the half minute", "outbox.tasks.sweep", Schedule.MINUTES, 1, 30),
    PlannedTask("outbox: look afterwards on the minute", "outbox.tasks.sweep_afterwards", Schedule.MINUTES, 1, 10),
    PlannedTask("outbox: look afterwards on the half minute", "outbox.tasks.sweep_afterwards", Schedule.MINUTES, 1, 40),
    PlannedTask("outbox: take up what is done to many", "outbox.tasks.sweep_operations", Schedule.MINUTES, 1, 50),
    PlannedTask("outbox: count what is kept", "outbox.tasks.count_storage", Schedule.MINUTES, 60, 20),
)


def make_schedules(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Create or update the schedules; runs after each migrate."""
    schedules.make_schedules(using, PLANNED)
