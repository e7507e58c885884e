"""The schedules of mailbox's tasks. django-q2 looks every half minute; its shortest schedule is a minute."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, router, transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone
from django_q.models import Schedule

from mailbox.logs import event
from mailbox.models import ScheduleRun

logger = logging.getLogger(__name__)
DAILY: str = Schedule.DAILY
DUE_TOLERANCE = timedelta(minutes=1)


@dataclass(frozen=True)
class PlannedTask:
    """A Schedule row of django-q2: the dotted path `func`, run each `minutes`, hourly or daily (`schedule_type`)."""

    name: str
    func: str
    schedule_type: str
    minutes: int | None = None
    offset_seconds: int = 0


PLANNED = (
    PlannedTask("mailbox: sync", "mailbox.tasks.sync_tick", Schedule.MINUTES, 1),
    # Two schedules half a minute apart: the dashboard calls workers dead after three such intervals of silence.
    PlannedTask("mailbox: heartbeat", "mailbox.tasks.beat", Schedule.MINUTES, 1),
    PlannedTask("mailbox: heartbeat, half a minute later", "mailbox.tasks.beat", Schedule.MINUTES, 1, 30),
    PlannedTask("mailbox: go on reading stored mail", "mailbox.tasks.reparse_stalled", Schedule.MINUTES, 1),
    PlannedTask("mailbox: take up what was forgotten", "mailbox.tasks.take_up_forgotten", Schedule.MINUTES, 1, 20),
    PlannedTask("mailbox: compare with servers", "mailbox.tasks.compare_due", Schedule.MINUTES, 10, 45),
    PlannedTask("mailbox: go on with exports", "mailbox.tasks.export_sweep", Schedule.MINUTES, 1, 50),
    PlannedTask("mailbox: sweep the raw store", "mailbox.tasks.sweep_raw", Schedule.DAILY),
    PlannedTask("mailbox: remove expunged mail", "mailbox.tasks.remove_expunged", Schedule.DAILY),
    PlannedTask("mailbox: prune old reports", "mailbox.tasks.prune", Schedule.DAILY),
    PlannedTask("mailbox: let go of pictures", "mailbox.tasks.tidy", Schedule.DAILY),
    PlannedTask("mailbox: use refresh tokens in time", "mailbox.tasks.oauth_keep", Schedule.MINUTES, 5),
    PlannedTask("mailbox: count what is kept", "mailbox.tasks.count_storage", Schedule.HOURLY),
)


# Tasks that a cluster runs as soon as it starts, so that the dashboard shows its workers at once and waiting mail does
# not wait for the next minute.
FIRST = ("mailbox.tasks.beat", "mailbox.tasks.sync_tick", "outbox.tasks.sweep")
INTERVALS = {
    Schedule.MINUTES: timedelta(minutes=1),
    Schedule.HOURLY: timedelta(hours=1),
    Schedule.DAILY: timedelta(days=1),
}


def pull_back(now: datetime) -> int:
    """Make schedules due whose next run is further ahead than their interval; return how many there were.

    That is so after the machine's clock was set back: nothing would run until then.
    """
    late = []
    for pk, kind, minutes, next_run in Schedule.objects.values_list("pk", "schedule_type", "minutes", "next_run"):
        interval = INTERVALS.get(kind)
        if interval and next_run and next_run > now + interval * (minutes or 1) + DUE_TOLERANCE:
            late.append(pk)
    if late:
        event(logger, "clock_set_back", logging.WARNING, schedules=len(late))
    moved: int = Schedule.objects.filter(pk__in=late, next_run__gt=now).update(next_run=now)
    return moved


@dataclass(frozen=True)
class ScheduleState:
    """One schedule. `next_at`: when it is queued next. `last_at`, `seconds`, `ok`: of its last finished run."""

    name: str
    next_at: datetime | None
    last_at: datetime | None
    seconds: float | None
    ok: bool | None


def states() -> list[ScheduleState]:
    """All schedules, the next one first."""
    run = ScheduleRun.objects.filter(pk=OuterRef("name"))
    last = {name: Subquery(run.values(name)) for name in ("started_at", "seconds", "ok")}
    rows = Schedule.objects.annotate(**last).order_by("next_run", "name")
    return [ScheduleState(*row) for row in rows.values_list("name", "next_run", *last)]


def overdue_since(now: datetime) -> datetime | None:
    """The earliest time at which a schedule should have run and did not; None when all are on time.

    Not those that have no run left (`repeats` of 0): django-q2 keeps their rows, and never runs them.
    """
    late = Schedule.objects.filter(schedule_type__in=INTERVALS, next_run__lt=now).exclude(repeats=0)
    first: datetime | None = late.order_by("next_run").values_list("next_run", flat=True).first()
    return first


def first_tasks(now: datetime) -> list[str]:
    """The tasks of FIRST to queue at a start: the heartbeat, and those that no due schedule will queue anyway."""
    due = set(Schedule.objects.filter(func__in=FIRST, next_run__lt=now).values_list("func", flat=True))
    return [function for function in FIRST if function not in due or function == "mailbox.tasks.beat"]


def make_schedules(using: str = DEFAULT_DB_ALIAS, planned_here: Sequence[PlannedTask] = PLANNED, **_: Any) -> None:
    """Create or update the schedules; runs after each migrate. Removes doubles, as Schedule.name is not unique."""
    if not router.allow_migrate_model(using, Schedule):
        return
    if Schedule._meta.db_table not in connections[using].introspection.table_names():
        return  # `migrate mailbox` alone, before django-q2 has its tables
    now = timezone.now()
    for planned in planned_here:
        fixed = {
            "func": planned.func,
            "schedule_type": planned.schedule_type,
            "minutes": planned.minutes,
            "repeats": -1,
        }
        with transaction.atomic(using=using):
            rows = list(Schedule.objects.using(using).filter(name=planned.name).order_by("pk"))
            if rows:
                Schedule.objects.using(using).filter(pk__in=[row.pk for row in rows[1:]]).delete()
                Schedule.objects.using(using).filter(pk=rows[0].pk).update(**fixed)
            else:
                first = now + timedelta(seconds=planned.offset_seconds)
                Schedule.objects.using(using).create(name=planned.name, next_run=first, **fixed)
