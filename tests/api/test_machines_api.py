"""The system page and the page of storage by the HTTP API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_q.models import Schedule

from api.models import Scope
from mailbox.models import Account, AccountGrant, Lease, PushHeartbeat, StorageUse, TableSize, WorkerHeartbeat
from prx_email_site.monitoring.system_status import LATE_AFTER
from prx_email_site.workers import schedule_runs
from tests.api.calling import Program, ops, program, sales

__all__ = ["ops", "program", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_the_machines_are_told_as_on_their_page(program: Program, ops: Account) -> None:
    now = timezone.now()
    beat = {"started_at": now, "seen_at": now, "disk_free_percent": 40, "store_failed_since": now}
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=7, **beat)
    PushHeartbeat.beat("of web1", "web1", 9, {"1": "connected", "2": "waiting"}, now)
    Lease.acquire(ops.pk, Lease.Purpose.SYNC, "web1/8", seconds=30, now=now)
    Schedule.objects.update(next_run=now + timedelta(minutes=1))
    Schedule.objects.filter(name="mailbox: sync").update(next_run=now - LATE_AFTER - timedelta(seconds=1))
    schedule_runs.note("mailbox: sync", now - timedelta(seconds=3), now, ok=False)
    TableSize.objects.create(table="accounts", day=now.date(), size=4096, rows=1, measured_at=now)
    told = program.get("/system").json()["data"]
    (host,) = told["hosts"]
    assert (host["name"], host["is_alive"], host["disk_free_percent"]) == ("web1", True, 40)
    assert list(host["faults"]) == ["store_failed_since"]
    assert [(each["role"], each["pid"], each["alive"]) for each in host["processes"]] == [("workers", 7, True)]
    assert told["push"] == {"web1/9": {"connected": 1, "waiting": 1}}
    (lease,) = told["leases"]
    assert (lease["account_id"], lease["account"], lease["purpose"]) == (ops.pk, "ops@example.com", "sync")
    late = [each for each in told["schedules"] if each["is_late"]]
    assert [(each["name"], each["ok"], each["seconds"]) for each in late] == [("mailbox: sync", False, 3.0)]
    (table,) = told["tables"]
    assert (table["name"], table["size"], table["rows"], table["grown"]) == ("accounts", 4096, 1, None)
    assert told["versions"]["database"].split()[0] in ("sqlite", "postgresql") and told["restore_proven_at"] is None
    assert told["store_shared_with"] == ""


def test_storage_is_told_of_the_tokens_accounts_alone(
    make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    now = timezone.now()
    for account, size in ((ops, 10), (sales, 30)):
        StorageUse.objects.create(account=account, kind="received", items=1, size=size, counted_at=now)
        StorageUse.objects.create(account=account, kind="received_files", items=2, size=5, counted_at=now)
        StorageUse.objects.create(account=account, kind="sent", items=1, size=1, counted_at=now)
    StorageUse.objects.create(kind="on_disk", items=3, size=99, counted_at=now)
    chief, clerk = make_user("administrator"), make_user("", "clerk")
    AccountGrant.objects.create(user=clerk, account=ops, role="viewer")
    everything = Program(chief).get("/storage").json()["data"]
    assert [(each["account_id"], each["usage"]["total"]) for each in everything["items"]] == [
        (ops.pk, 11),
        (sales.pk, 31),
    ]
    assert everything["usage"]["sizes"] == {"received": 40, "received_files": 10, "sent": 2}
    assert (everything["usage"]["total"], everything["disk"]) == (42, {"size": 99, "pieces": 3})
    for narrow in (Program(chief, accounts=[ops]), Program(clerk, scopes=[Scope.READ])):
        found = narrow.get("/storage").json()["data"]
        assert ([each["account_id"] for each in found["items"]], found["usage"]["total"]) == ([ops.pk], 11)
        assert found["disk"] is None
    first = Program(chief).get("/storage?limit=1").json()["data"]
    rest = Program(chief).get(f"/storage?limit=1&after={first['next']}").json()["data"]
    assert [each["account_id"] for each in first["items"] + rest["items"]] == [ops.pk, sales.pk]
    assert rest["next"] is None and rest["usage"] == everything["usage"]


def test_what_was_not_counted_yet_is_nothing(program: Program, ops: Account) -> None:
    told = program.get("/storage").json()["data"]
    assert told["items"] == [{"account_id": ops.pk, "usage": {"items": {}, "sizes": {}, "total": 0}}]
    assert (told["counted_at"], told["disk"], told["usage"]["total"]) == (None, None, 0)
