"""manage.py status and the system page say what the rows say; the command's exit status says whether to come."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Schedule

from mailbox import process_heartbeats
from mailbox.logs import this_host
from mailbox.models import (
    Account,
    Lease,
    ProcessHeartbeat,
    PushHeartbeat,
    RestoreProof,
    ScheduleRun,
    StoreNote,
    TableSize,
    WorkerHeartbeat,
)
from mailbox.storage import table_sizes
from outbox.models import SendingSwitch
from prx_email_site.management.commands import qcluster
from prx_email_site.monitoring import system_status
from prx_email_site.workers import schedule_runs
from tests.rows import NOWHERE

pytestmark = pytest.mark.django_db
NO_PROCESS = 2**22 + 1  # above the kernel's highest pid


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    now = timezone.now()
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=7, started_at=now, seen_at=now, disk_free_percent=40)
    Schedule.objects.update(next_run=now + timedelta(minutes=1))
    account = make_account("ops@example.com", **NOWHERE)
    Account.objects.filter(pk=account.pk).update(sync_enabled=False)
    return account


def process(host: str, role: str, pid: int, now: datetime, **more: object) -> ProcessHeartbeat:
    says = {"started_at": now, "seen_at": now, "silent_at": now + timedelta(seconds=90), "release": "0.1.0"}
    return ProcessHeartbeat.objects.create(host=host, role=role, pid=pid, **{**says, **more})


def test_where_all_is_well_it_ends_with_0_and_says_how_the_machines_do(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    now = timezone.now()
    Lease.acquire(account.pk, Lease.Purpose.SYNC, "web1/8", seconds=30, now=now)
    RestoreProof.objects.create(proven_at=now)
    process("web1", "web", 3, now, load=1.5, processors=2)
    schedule_runs.note("mailbox: sync", now - timedelta(seconds=3), now, ok=True)
    call_command("status")
    said = capsys.readouterr().out
    assert "Nothing needs you." in said and "host    web1: alive, load 1.5 on 2 processors, disk 40 % free" in said
    assert "web web1/3: alive, release 0.1.0" in said and "workers web1/7: alive" in said
    assert f"lease   sync of account {account.pk}: web1/8" in said and "restore last proven" in said
    assert "UTC mailbox: sync (last " in said and "after 3.0 s)" in said


def test_when_somebody_is_needed_it_ends_with_1_and_says_why(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    now = timezone.now()
    SendingSwitch.objects.create(pk=1, paused_at=now, reason="maintenance")
    with pytest.raises(SystemExit) as ended:
        call_command("status", "--json")
    said = json.loads(capsys.readouterr().out)
    assert (ended.value.code, said["ok"], said["sending_paused"]) == (1, False, True)
    assert "maintenance" in said["needs"]["paused"]
    assert said["error"]["code"] == "Needed" and "maintenance" in said["error"]["message"]
    assert said["hosts"][0]["name"] == "web1" and said["hosts"][0]["processes"][0]["alive"]
    assert said["versions"]["database"]


def test_a_process_that_says_nothing_more_is_gone_and_one_that_replaced_it_is_not_missed(account: Account) -> None:
    now = timezone.now()
    long_ago = now - timedelta(hours=1)
    process("web1", "push", 4, long_ago)
    process("web2", "web", 5, long_ago)
    process("web2", "web", 6, now)
    found = {host.name: host for host in system_status.read(now).hosts}
    assert [(each.role, each.alive) for each in found["web1"].roles] == [("workers", True), ("push", False)]
    assert [(each.pid, each.alive) for each in found["web2"].roles] == [(6, True)]


def test_a_process_notes_itself_and_forgets_those_of_its_host_that_have_ended(account: Account) -> None:
    now = timezone.now()
    process(this_host(), "web", NO_PROCESS, now)
    process("another host", "web", NO_PROCESS, now)
    process_heartbeats.note("web", now)
    process_heartbeats.note("web", now + timedelta(seconds=30))
    rows = ProcessHeartbeat.objects.filter(role="web").order_by("pk")
    assert [(row.host, row.release) for row in rows] == [("another host", "0.1.0"), (this_host(), "0.1.0")]
    assert rows[1].started_at == now and rows[1].load is not None and rows[1].python


def test_a_process_is_another_one_that_has_the_number_of_one_from_before_it(account: Account) -> None:
    """A container that was killed and is started again counts its processes from 1 again."""
    now, host, me = timezone.now(), this_host(), os.getpid()
    before = now - timedelta(days=3650)
    process(host, "web", me, before)
    process_heartbeats.note("web", now)
    assert ProcessHeartbeat.objects.get(role="web").started_at == now
    for pid, seen in ((me, before), (os.getppid(), now), (NO_PROCESS, now)):
        WorkerHeartbeat.objects.create(host=host, cluster_pid=pid, started_at=before, seen_at=seen)
    qcluster._forget_heartbeats()
    assert [row.cluster_pid for row in WorkerHeartbeat.objects.filter(host=host)] == [os.getppid()]


def test_a_schedule_tells_its_last_run_and_an_earlier_one_that_ends_late_changes_nothing(account: Account) -> None:
    now = timezone.now()
    task = {"group": "mailbox: prune old reports", "started": now, "stopped": now + timedelta(seconds=2)}
    schedule_runs._note(task | {"success": False})
    schedule_runs._note(task | {"started": now - timedelta(minutes=1), "success": True})
    schedule_runs._note({"group": "sync", "started": now, "stopped": now, "success": True})
    only = ScheduleRun.objects.get()
    assert (only.name, only.ok, only.seconds, only.succeeded_at) == ("mailbox: prune old reports", False, 2.0, None)


def test_tables_tell_what_they_grew_by(account: Account) -> None:
    now = timezone.now()
    table_sizes.measure(now - timedelta(days=3))
    TableSize.objects.update(size=1000)
    table_sizes.measure(now)
    table_sizes.measure(now)  # once more is no second row
    largest = system_status.read(now).tables[0]  # the list is short: which others are in it, earlier tests decide
    here = TableSize.objects.get(table=largest.name, day=now.date())
    assert largest.size == here.size >= 4096
    assert largest.grown == here.size - 1000
    table_sizes.forget_old(now + timedelta(days=401))
    assert not TableSize.objects.exists()


@pytest.mark.pages
def test_the_page_says_the_same(account: Account, client: Client, make_user: Callable[..., User]) -> None:
    now = timezone.now()
    PushHeartbeat.beat("of web1", "web1", 9, {"1": "connected", "2": "waiting"}, now)
    PushHeartbeat.beat("of web2", "web2", 8, {"3": "connected"}, now)
    process("web2", "push", 8, now)
    process("web1", "push", 9, now - timedelta(seconds=1), release="0.0.9")
    process("web1", "web", 3, now, load=9.0, processors=2)
    WorkerHeartbeat.objects.update(store_failed_since=now)
    schedule_runs.note("mailbox: sync", now, now, ok=False)
    client.force_login(make_user("administrator"))
    page = client.get("/system/", headers={"HX-Request": "true"}).content.decode()
    for words in (
        "1 of 2 inboxes connected",
        "1 of 1 inbox connected",
        "cannot write and read stored mail",
        "in trouble",
        "9.00 on 2 proc",
    ):
        assert words in page
    assert "Processes of several releases run (0.0.9, 0.1.0)" in page and "failed" in page


def test_a_store_that_another_installation_uses_is_told_without_a_further_query(
    account: Account, client: Client, make_user: Callable[..., User], capsys: pytest.CaptureFixture[str]
) -> None:
    client.force_login(make_user("administrator"))
    sentence = "Another installation uses the same store of mail ("
    assert sentence not in client.get("/system/").content.decode()
    with CaptureQueriesContext(connection) as before:
        client.get("/system/")
    for number in (1, 2):
        said = {"host": f"mail{number}:/srv", "written_at": timezone.now()}
        StoreNote.objects.create(name=str(number), is_ours=False, **said)
    WorkerHeartbeat.objects.create(host="web2", cluster_pid=8, started_at=timezone.now(), seen_at=timezone.now())
    with CaptureQueriesContext(connection) as after:
        assert f"{sentence}mail1:/srv)" in client.get("/system/").content.decode()
    assert len(before) == len(after) <= 12
    with pytest.raises(SystemExit):
        call_command("status")
    assert "store   shared with mail1:/srv\n" in capsys.readouterr().out
