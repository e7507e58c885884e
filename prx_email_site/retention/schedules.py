"""The schedules of retention: daily."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS

from mailbox import schedules
from mailbox.schedules import DAILY, PlannedTask

PLANNED = (
    PlannedTask("retention: remove by rules", "prx_email_site.retention.sweep.begin", DAILY),
    PlannedTask("retention: remove old records", "prx_email_site.retention.records.prune", DAILY),
)


def make_schedules(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Create or correct the Schedule rows; runs after each migrate."""
    schedules.make_schedules(using, PLANNED)
