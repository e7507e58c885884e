"""The schedule of the sweep over exports of lists: every minute."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS

from mailbox import schedules
from mailbox.schedules import PLANNED as OF_MAILBOX
from mailbox.schedules import PlannedTask

PLANNED = (
    PlannedTask(
        "lists: go on with files",
        "prx_email_site.list_exports.tasks.list_export_sweep",
        OF_MAILBOX[0].schedule_type,
        minutes=1,
        offset_seconds=55,
    ),
)


def make_schedules(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Create or correct the Schedule row; runs after each migrate."""
    schedules.make_schedules(using, PLANNED)
