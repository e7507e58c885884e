"""Reads the state of the machines: hosts and processes, leases, schedules, sizes, versions.

For the system page and for `manage.py status`, which also shows what needs a person.
"""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from sqlite3 import sqlite_version
from typing import Any

import django
from django.conf import settings
from django.db import connection
from django.db.models import Subquery, Sum

from alerts.problems.find import find_problems
from mailbox import schedules
from mailbox.models import (
    Lease,
    ProcessHeartbeat,
    PushHeartbeat,
    RestoreProof,
    StorageUse,
    StoreNote,
    TableSize,
    WorkerHeartbeat,
)
from mailbox.schedules import ScheduleState
from mailbox.storage.table_sizes import WHOLE_FILE

TABLES_SHOWN = 20
ROWS_READ = 200  # at most, of hosts, of processes and of leases
GROWTH_DAYS = 7
LATE_AFTER = timedelta(minutes=2)  # django-q2 looks for due schedules every half minute
LEASE_COLUMNS = ("account_id", "account__email", "purpose", "holder", "expires_at")
# Column with the time since when a fault exists -> its name.
FAULTS = {"store_failed_since": "store unusable", "broker_away_since": "broker away"}
FAULTS |= {"fetching_stopped_since": "disk reserve reached"}


@dataclass(frozen=True)
class ProcessStatus:
    """A process of a host. `pid` 0: started by cron, with another pid each time."""

    role: str
    pid: int
    alive: bool
    seen_at: datetime
    started_at: datetime
    release: str = ""
    python: str = ""


@dataclass(frozen=True)
class Host:
    """One host. load: the newest known one-minute average. faults: keys of FAULTS -> since when. disk_free_percent: of
    its data folder's disk or of the raw store's, whichever is fuller. Values that only workers report are None if none
    runs."""

    name: str
    processes: list[ProcessStatus]
    load: float | None = None
    processors: int | None = None
    disk_free_percent: int | None = None
    faults: dict[str, datetime] = field(default_factory=dict)
    has_workers: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether any of its processes was seen lately."""
        return any(each.alive for each in self.processes)

    @property
    def roles(self) -> list[ProcessStatus]:
        """One process of each role, a live one if there is any: a process that was replaced is not shown as gone."""
        found: dict[str, ProcessStatus] = {}
        for each in sorted(self.processes, key=lambda each: (not each.alive, -each.seen_at.timestamp())):
            found.setdefault(each.role, each)
        return sorted(found.values(), key=lambda each: ProcessHeartbeat.Role.values.index(each.role))


@dataclass(frozen=True)
class TableStatus:
    """One table. grown: bytes since `grown_since` (a week ago, or the first measurement after); None without one."""

    name: str
    size: int
    rows: int | None
    grown: int | None
    grown_since: datetime | None
    measured_at: datetime


@dataclass(frozen=True)
class SystemStatus:
    """The state as of `now`. push: "host/pid" of a push process -> number of its accounts by state. leases: without
    those of push, which has one for each account. store_shared_with: host and data folder of another installation on
    the same raw store, "" if none is known; the first of several."""

    now: datetime
    hosts: list[Host]
    push: dict[str, dict[str, int]]
    leases: list[dict[str, Any]]
    schedules: list[ScheduleState]
    tables: list[TableStatus]
    storage: dict[str, int]
    restore_proven_at: datetime | None
    store_shared_with: str
    versions: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """As dictionaries and lists; times stay datetimes."""
        return asdict(self)


def needs(now: datetime) -> dict[str, str]:
    """Key of an incident -> its sentence, as on the dashboard: what needs a person now."""
    return {each.key: each.sentence for each in find_problems(now).all()}


def read(now: datetime) -> SystemStatus:
    """The state at `now`. Raises DatabaseError."""
    proof = RestoreProof.objects.filter(fault="").order_by("-pk").first()
    leases = Lease.objects.filter(expires_at__gt=now).exclude(purpose=Lease.Purpose.PUSH).order_by("expires_at")
    uses = StorageUse.objects.order_by().values_list("kind").annotate(Sum("size"))
    # With the heartbeats, to save a query: without any no worker runs, and nothing is swept from the store anyway.
    other = Subquery(StoreNote.objects.filter(is_ours=False).order_by("pk").values("host")[:1])
    beats: list[Any] = list(WorkerHeartbeat.objects.annotate(other=other).order_by("-seen_at")[:ROWS_READ])
    return SystemStatus(
        now=now,
        hosts=_hosts(beats, now),
        store_shared_with=next((beat.other for beat in beats if beat.other), ""),
        push={str(row): dict(Tally(row.states.values())) for row in PushHeartbeat.objects.alive(now)},
        leases=[dict(row) for row in leases.values(*LEASE_COLUMNS)[:ROWS_READ]],
        schedules=schedules.states(),
        tables=_tables(now),
        storage=dict(uses),
        restore_proven_at=proof.proven_at if proof else None,
        versions={
            "release": settings.RELEASE,
            "python": platform.python_version(),
            "django": django.get_version(),
            "database": _database(),
        },
    )


def is_late(schedule: ScheduleState, now: datetime) -> bool:
    """Whether it should have run a while ago."""
    return schedule.next_at is not None and schedule.next_at < now - LATE_AFTER


def _hosts(beats: Sequence[WorkerHeartbeat], now: datetime) -> list[Host]:
    """The hosts by name. A cluster of workers has two heartbeats (its own and that of its tasks) and is listed once."""
    rows = list(ProcessHeartbeat.objects.order_by("-seen_at")[:ROWS_READ])
    told = {(row.host, row.pid) for row in rows if row.role == ProcessHeartbeat.Role.WORKERS}
    names = sorted({beat.host for beat in beats} | {row.host for row in rows})
    return [
        _host(
            name,
            [row for row in rows if row.host == name],
            [beat for beat in beats if beat.host == name],
            {pid for host, pid in told if host == name},
            now,
        )
        for name in names
    ]


def _host(name: str, rows: list[ProcessHeartbeat], beats: list[WorkerHeartbeat], told: set[int], now: datetime) -> Host:
    processes = [
        ProcessStatus(row.role, row.pid, row.is_alive(now), row.seen_at, row.started_at, row.release, row.python)
        for row in rows
    ]
    untold = [beat for beat in beats if beat.cluster_pid not in told]  # clusters of an earlier release
    role = ProcessHeartbeat.Role.WORKERS.value
    processes += [
        ProcessStatus(role, beat.cluster_pid, beat.is_recent(beat.seen_at, now), beat.seen_at, beat.started_at)
        for beat in untold
    ]
    alive = [beat for beat in beats if beat.is_recent(beat.seen_at, now)]
    newest = rows[0] if rows and rows[0].is_alive(now) else None
    free = [beat.least_free_percent for beat in alive if beat.least_free_percent is not None]
    return Host(
        name=name,
        processes=processes,
        load=newest.load if newest else None,
        processors=newest.processors if newest else None,
        disk_free_percent=min(free, default=None),
        faults=_faults(alive),
        has_workers=bool(alive),
    )


def _faults(beats: Iterable[WorkerHeartbeat]) -> dict[str, datetime]:
    since: dict[str, datetime] = {}
    for beat in beats:
        for key in FAULTS:
            if (moment := getattr(beat, key)) is not None:
                since[key] = min(moment, since.get(key, moment))
    return since


def _tables(now: datetime) -> list[TableStatus]:
    """The largest tables by the newest measurement, with the growth since the earliest one of the week before it."""
    lately = (now - timedelta(days=GROWTH_DAYS + 1)).date()
    rows = list(TableSize.objects.filter(day__gte=lately).order_by("day"))
    if not rows:
        return []
    last = rows[-1].day
    first = {row.table: row for row in reversed(rows)}
    found = [_table(row, first[row.table]) for row in rows if row.day == last]
    found.sort(key=lambda table: (table.name != WHOLE_FILE, -table.size))
    return found[:TABLES_SHOWN]


def _table(row: TableSize, before: TableSize) -> TableStatus:
    is_other = before.day < row.day
    return TableStatus(
        name=row.table,
        size=row.size,
        rows=row.rows,
        grown=row.size - before.size if is_other else None,
        grown_since=before.measured_at if is_other else None,
        measured_at=row.measured_at,
    )


def _database() -> str:
    """Name and version of the database, as the driver knows it; no query."""
    if connection.vendor == "sqlite":
        return f"sqlite {sqlite_version}"
    number: int = connection.pg_version  # type: ignore[attr-defined]
    return f"postgresql {number // 10000}.{number % 10000}"
