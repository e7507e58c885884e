"""Saves the last run of each schedule. This is done in the monitor of a cluster, which saves all results."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

from django.db import DatabaseError, InterfaceError
from django_q.signals import post_execute

from mailbox.models import ScheduleRun


def connect() -> None:
    """Make this process's forks save the runs. Called once, before they are forked."""
    post_execute.connect(_note)


def _note(task: dict[str, Any], **_: Any) -> None:
    """Save a run if the task is a scheduled one: its group is the schedule's name ("mailbox: sync").

    No other group contains a colon.
    """
    group = str(task.get("group") or "")
    if ": " in group and task.get("stopped"):
        # An exception would end the monitor; without the database, only the next run is saved.
        with contextlib.suppress(DatabaseError, InterfaceError):
            note(group[:100], task["started"], task["stopped"], ok=bool(task["success"]))


def note(name: str, started: datetime, stopped: datetime, *, ok: bool) -> None:
    """Save a run as the schedule's last one, unless a run that began later is saved already."""
    says = {"started_at": started, "seconds": (stopped - started).total_seconds(), "ok": ok}
    says |= {"succeeded_at": stopped} if ok else {}
    row = ScheduleRun.objects.filter(pk=name)
    if not row.filter(started_at__lte=started).update(**says):
        ScheduleRun.objects.bulk_create([ScheduleRun(name=name, **says)], ignore_conflicts=True)
