"""The state of the machines over the HTTP API, as on the system page. It concerns all accounts."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from api.models import Scope
from api.v1.protocol.access import FAILURES, caller_of
from api.v1.protocol.answers import Answer
from prx_email_site.monitoring import system_status

_AS_READ = ("push", "storage", "restore_proven_at", "store_shared_with", "versions")

router = Router(tags=["operation"])


class ProcessState(Schema):
    """A process of a host. `pid` 0: started by cron, with another pid each time."""

    role: str
    pid: int
    alive: bool
    seen_at: datetime
    started_at: datetime
    release: str
    python: str


class HostState(Schema):
    """A host with its processes. null: not known, as no worker runs there."""

    name: str
    is_alive: bool = Field(description="Any of its processes was seen lately.")
    has_workers: bool
    load: float | None = Field(description="Over one minute.")
    processors: int | None
    disk_free_percent: int | None
    faults: dict[str, datetime] = Field(description="What is wrong, and since when.")
    processes: list[ProcessState]


class LeaseState(Schema):
    """The right of a process to be an account's one sync or sender."""

    account_id: int
    account: str
    purpose: str
    holder: str
    expires_at: datetime


class ScheduleLine(Schema):
    """What runs by the clock. `last_at`, `seconds`, `ok`: of its last finished run."""

    name: str
    is_late: bool
    next_at: datetime | None
    last_at: datetime | None
    seconds: float | None
    ok: bool | None


class TableState(Schema):
    """A table of the database. `grown`: bytes since `grown_since`, a week before or at the first measurement."""

    name: str
    size: int = Field(description="Bytes.")
    rows: int | None = Field(description="About.")
    grown: int | None
    grown_since: datetime | None
    measured_at: datetime


class SystemState(Schema):
    """The machines. `push`: by "host/pid" of a push process, the number of its accounts by state."""

    read_at: datetime
    hosts: list[HostState]
    push: dict[str, dict[str, int]]
    leases: list[LeaseState] = Field(description="Without those of push; 200 at most.")
    schedules: list[ScheduleLine]
    tables: list[TableState] = Field(description="The largest twenty.")
    storage: dict[str, int] = Field(description="Bytes by kind, of all accounts.")
    restore_proven_at: datetime | None
    store_shared_with: str = Field(description="Another installation on the same store of mail; empty: none is known.")
    versions: dict[str, str]


@router.get("/system", response={200: Answer[SystemState], **FAILURES}, operation_id="get_system")
def get_system(request: HttpRequest) -> Answer[SystemState]:
    """Hosts and their processes, leases, schedules, tables and versions. What needs a person is in /health."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    found = system_status.read(timezone.now())
    told: dict[str, Any] = {name: getattr(found, name) for name in _AS_READ}
    leases = [{**each, "account": each["account__email"]} for each in found.leases]
    return Answer(
        data=SystemState(
            read_at=found.now,
            hosts=[HostState(**asdict(each), is_alive=each.is_alive) for each in found.hosts],
            leases=[LeaseState(**each) for each in leases],
            schedules=[
                ScheduleLine(**asdict(each), is_late=system_status.is_late(each, found.now)) for each in found.schedules
            ],
            tables=[TableState(**asdict(each)) for each in found.tables],
            **told,
        )
    )
