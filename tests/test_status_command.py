"""manage.py status says what the rows say, and by its exit status whether somebody is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_q.models import Schedule

from mailbox.models import Account, Lease, RestoreProof, WorkerHeartbeat
from outbox.models import SendingSwitch
from tests.rows import NOWHERE

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    now = timezone.now()
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=7, started_at=now, seen_at=now, disk_free_percent=40)
    Schedule.objects.update(next_run=now + timedelta(minutes=1))
    account = make_account("ops@example.com", **NOWHERE)
    Account.objects.filter(pk=account.pk).update(sync_enabled=False)
    return account


def test_where_all_is_well_it_ends_with_0_and_says_how_the_machines_do(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    now = timezone.now()
    Lease.acquire(account.pk, Lease.Purpose.SYNC, "web1/8", seconds=30, now=now)
    RestoreProof.objects.create(proven_at=now)
    call_command("status")
    said = capsys.readouterr().out
    assert "Nothing needs you." in said and "host    web1/7: alive, disk 40 % free" in said
    assert f"lease   sync of account {account.pk}: web1/8" in said and "restore last proven" in said
    assert "mailbox: sync" in said and "size    " in said


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
    assert said["hosts"][0]["host"] == "web1" and said["hosts"][0]["alive"] and said["versions"]["database"]
