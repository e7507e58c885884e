"""How the machines do: what needs a person, hosts, leases, schedules, sizes, versions. For `manage.py status`."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import django
from django.db import connection
from django.db.models import Sum

from alerts.problems.find import find_problems
from mailbox import schedules
from mailbox.models import Lease, PushHeartbeat, RestoreProof, StorageUse, WorkerHeartbeat
from outbox.models import SendingSwitch

TABLES_SHOWN = 20


@dataclass(frozen=True)
class SystemStatus:
    """As of `now`. `needs`: sentences of what needs a person, by key; `tables`: the largest, with bytes, or the whole
    file of SQLite, which knows no sizes of tables."""

    now: datetime
    needs: dict[str, str]
    sending_paused: bool
    hosts: list[dict[str, Any]]
    push: str
    leases: list[dict[str, Any]]
    schedules: list[tuple[str, datetime]]
    tables: list[tuple[str, int]]
    storage: dict[str, int]
    restore_proven_at: datetime | None
    versions: dict[str, str]


def gather(now: datetime) -> SystemStatus:
    push = PushHeartbeat.objects.filter(pk=1).first()
    proof = RestoreProof.objects.filter(fault="").order_by("-pk").first()
    leases = Lease.objects.filter(expires_at__gt=now).order_by("expires_at")
    uses = StorageUse.objects.order_by().values_list("kind").annotate(Sum("size"))
    return SystemStatus(
        now=now,
        needs={each.key: each.sentence for each in find_problems(now).found},
        sending_paused=SendingSwitch.objects.filter(paused_at__isnull=False).exists(),
        hosts=[_host(beat, now) for beat in WorkerHeartbeat.objects.order_by("host", "cluster_pid")[:200]],
        push=f"{push.host}/{push.pid}" if push and push.is_alive(now) else "",
        leases=[dict(row) for row in leases.values("account_id", "purpose", "holder", "expires_at")[:200]],
        schedules=schedules.next_times(),
        tables=_tables(),
        storage=dict(uses),
        restore_proven_at=proof.proven_at if proof else None,
        versions={"python": platform.python_version(), "django": django.get_version(), "database": _database()},
    )


def _host(beat: WorkerHeartbeat, now: datetime) -> dict[str, Any]:
    return {
        "host": beat.host,
        "pid": beat.cluster_pid,
        "alive": WorkerHeartbeat.is_recent(beat.seen_at, now),
        "started_at": beat.started_at,
        "seen_at": beat.seen_at,
        "disk_free_percent": beat.disk_free_percent,
        "store_usable": beat.store_failed_since is None,
        "broker_reachable": beat.broker_away_since is None,
        "fetches": beat.fetching_stopped_since is None,
    }


def _tables() -> list[tuple[str, int]]:
    if connection.vendor == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        return [(path.name, path.stat().st_size)] if path.exists() else []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables ORDER BY 2 DESC LIMIT %s",
            [TABLES_SHOWN],
        )
        return [(name, int(size)) for name, size in cursor.fetchall()]


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sqlite_version()" if connection.vendor == "sqlite" else "SHOW server_version")
        return f"{connection.vendor} {cursor.fetchone()[0]}"
