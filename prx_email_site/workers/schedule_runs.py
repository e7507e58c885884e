"""The last run of what runs by the clock, written down where results are saved: in the monitor of a cluster."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

from django.db import DatabaseError, InterfaceError
from django_q.signals import post_execute

from mailbox.models import ScheduleRun


def connect() -> None:
    """Have this process's forks note them. Called once, before they are forked."""
    post_execute.connect(_note)


def _note(task: dict[str, Any], **_: Any) -> None:
    """A scheduled task has its schedule's name ("mailbox: sync") for its group; no other group has a colon."""
    group = str(task.get("group") or "")
    if ": " in group and task.get("stopped"):
        # A monitor that raised would end; when the database is away the next run is noted.
        with contextlib.suppress(DatabaseError, InterfaceError):
            note(group[:100], task["started"], task["stopped"], ok=bool(task["success"]))


def note(name: str, started: datetime, stopped: datetime, *, ok: bool) -> None:
    """Replace what is known of this schedule. A run that ends after a later one has ended changes nothing."""
    says = {"started_at": started, "seconds": (stopped - started).total_seconds(), "ok": ok}
    says |= {"succeeded_at": stopped} if ok else {}
    row = ScheduleRun.objects.filter(pk=name)
    if not row.filter(started_at__lte=started).update(**says):
        ScheduleRun.objects.bulk_create([ScheduleRun(name=name, **says)], ignore_conflicts=True)
