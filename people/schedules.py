"""The schedules of people: every minute, send links that were asked for and whose task was lost."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django_q.models import Schedule

from mailbox import schedules
from mailbox.schedules import PlannedTask

PLANNED = (
    PlannedTask("people: send links that were asked for", "people.tasks.answer_password_requests", Schedule.MINUTES, 1),
)


def make_schedules(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Create or update the schedules. Runs after each migrate."""
    schedules.make_schedules(using, PLANNED)
