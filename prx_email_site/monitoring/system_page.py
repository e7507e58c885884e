"""The system page: hosts and their processes, schedules, leases, tables. Problems are on the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from alerts.problems.installation import store_is_shared
from mailbox.lazy_text import Words
from mailbox.localized import grouped
from mailbox.models import Lease, ProcessHeartbeat, StorageUse
from mailbox.models.installation_health import DISK_FREE_PERCENT
from mailbox.permissions import Role, has_role_everywhere
from mailbox.schedules import ScheduleState
from mailbox.storage.table_sizes import WHOLE_FILE
from mailbox.views.accounts.accounts import is_partial
from prx_email_site.monitoring import system_status
from prx_email_site.monitoring.system_status import Host, ProcessStatus, SystemStatus

FAULTS: dict[str, Words] = {
    "store_failed_since": _("cannot write and read stored mail"),
    "broker_away_since": _("does not reach the broker"),
    "fetching_stopped_since": _("fetches no mail, its disk is nearly full"),
}
PURPOSES: dict[str, Words] = {
    Lease.Purpose.SYNC: _("fetching"),
    Lease.Purpose.SEND: _("sending"),
    Lease.Purpose.SENT: _("at work in Sent"),
}


@dataclass(frozen=True)
class RoleLine:
    """One role of a host (workers, push, ...), in words."""

    tone: str
    label: Words
    process: ProcessStatus
    detail: str = ""


@dataclass(frozen=True)
class HostLine:
    """A host with its processes and what is wrong with it."""

    host: Host
    tone: str
    state: str
    roles: list[RoleLine]
    faults: list[tuple[Words, datetime]]
    is_busy: bool
    disk_is_low: bool


@dataclass(frozen=True)
class ClockLine:
    """A schedule, and whether it runs in time."""

    schedule: ScheduleState
    tone: str
    state: str


@require_safe
def system(request: HttpRequest) -> HttpResponse:
    """The system page, for administrators of all accounts; for htmx the part that changes."""
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(gettext("The system page concerns all accounts: an administrator of all may see it."))
    found = system_status.read(timezone.now())
    releases = {each.release for host in found.hosts for each in host.roles if each.alive and each.release}
    context = {
        "status": found,
        "hosts": [_line(host, found) for host in found.hosts],
        "clock": [_clock(each, found.now) for each in found.schedules],
        "leases": [{**lease, "words": PURPOSES.get(lease["purpose"], lease["purpose"])} for lease in found.leases],
        "tables": found.tables,
        "most": max((table.size for table in found.tables), default=0),
        "measured_at": found.tables[0].measured_at if found.tables else None,
        "storage": [(StorageUse.Kind(kind).label, size) for kind, size in found.storage.items()],
        "shared": store_is_shared([found.store_shared_with]) if found.store_shared_with else "",
        "releases": sorted(releases) if len(releases) > 1 else [],
        "database": found.versions["database"].replace("sqlite", "SQLite").replace("postgresql", "PostgreSQL"),
        "whole_file": WHOLE_FILE,
    }
    return render(request, "_system.html" if is_partial(request) else "system.html", context)


def _line(host: Host, found: SystemStatus) -> HostLine:
    tone, state = ("fine", gettext("alive")) if host.is_alive else ("broken", gettext("silent"))
    roles = [_role(each, host, found) for each in host.roles]
    if host.is_alive and (host.faults or any(each.tone == "broken" for each in roles)):
        tone, state = "needs", gettext("in trouble")
    return HostLine(
        host=host,
        tone=tone,
        state=state,
        roles=roles,
        faults=[(words, host.faults[key]) for key, words in FAULTS.items() if key in host.faults],
        is_busy=host.load is not None and host.processors is not None and host.load > 2 * host.processors,
        disk_is_low=host.disk_free_percent is not None and host.disk_free_percent < DISK_FREE_PERCENT,
    )


def _role(process: ProcessStatus, host: Host, found: SystemStatus) -> RoleLine:
    label = ProcessHeartbeat.Role(process.role).label
    detail = ""
    if process.role == ProcessHeartbeat.Role.PUSH and process.alive:
        detail = _inboxes(found.push.get(f"{host.name}/{process.pid}", {}))
    return RoleLine("fine" if process.alive else "broken", label, process, detail)


def _inboxes(states: Mapping[str, int]) -> str:
    number, connected = sum(states.values()), states.get("connected", 0)
    words = ngettext(
        "%(connected)s of %(number)s inbox connected", "%(connected)s of %(number)s inboxes connected", number
    )
    return words % {"connected": grouped(connected), "number": grouped(number)}


def _clock(each: ScheduleState, now: datetime) -> ClockLine:
    if system_status.is_late(each, now):
        return ClockLine(each, "broken", gettext("late"))
    if each.ok is None:
        return ClockLine(each, "waiting", gettext("not run yet"))
    return ClockLine(each, "fine", gettext("on time")) if each.ok else ClockLine(each, "broken", gettext("failed"))
