"""A second host takes its share of a tick: two clusters with data folders of their own, one database, one queue."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from django.conf import settings
from django.utils import timezone

from mailbox import schedules
from mailbox.models import Account, Folder, Lease, SyncRun, SyncState, WorkerHeartbeat
from mailbox.queueing import queue
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.site import Cluster

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
MANY = 30  # more than a slice
# A host holds one task at its worker, and a few more that its worker will take next: with these shares of a tick some
# are left for the other host.
CLUSTERS = 8


@pytest.fixture
def two_hosts(start_workers: Callable[..., Cluster]) -> list[Cluster]:
    """Two hosts of one worker each; by their heartbeats more, so that a tick has more shares than one of them holds."""
    schedules.make_schedules()
    shared = {  # without these a host reads neither the queue nor the accounts' secrets
        "PRX_EMAIL_SECRET_KEY": settings.SECRET_KEY,
        "PRX_EMAIL_ENCRYPTION_KEYS": " ".join(settings.ENCRYPTION_KEYS),
        "PRX_EMAIL_WORKERS": "1",
    }
    clusters = [start_workers(PYTEST_XDIST_WORKER=f"host{number}", **shared) for number in (1, 2)]
    for cluster in clusters:
        wait_until(lambda pids=cluster.pids: len(pids()) >= 5, seconds=60, what="its processes")  # type: ignore[misc]
    now = timezone.now()
    WorkerHeartbeat.objects.all().delete()  # a heartbeat is a task, which either may take for both
    for pid in range(CLUSTERS):
        WorkerHeartbeat.objects.create(host=f"h{pid}", cluster_pid=pid, started_at=now, seen_at=now)
    return clusters


def begin_tick() -> None:
    Account.objects.update(sync_enabled=True)
    queue("mailbox.tasks.sync_tick", group="sync")


def with_an_inbox(accounts: list[Account]) -> list[Account]:
    Folder.objects.bulk_create(Folder(account=each, name="INBOX", sync_enabled=True) for each in accounts)
    return accounts


def test_all_accounts_are_looked_at_by_two_hosts(
    two_hosts: list[Cluster], make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    with_an_inbox([make_account(sync_enabled=False) for _ in range(MANY)])
    begin_tick()
    looked_at = SyncState.objects.filter(last_success_at__isnull=False)
    wait_until(lambda: looked_at.count() == MANY, seconds=120, what="a look at all accounts")
    assert not SyncState.objects.exclude(last_error_code="").exists()
    wait_until(lambda: not Lease.objects.exists(), seconds=30, what="the end of all leases")
    # The minute's own tick may come between and look at some of them.
    wait_until(lambda: not SyncRun.objects.filter(finished_at=None).exists(), seconds=60, what="the end of the runs")
    assert sum(SyncRun.objects.values_list("attempted", flat=True)) >= MANY


def test_both_hosts_take_shares_of_one_tick(two_hosts: list[Cluster], make_account: Callable[..., Account]) -> None:
    """Their server takes connections and says nothing, so that whoever claims an account holds its lease."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        port = silent.getsockname()[1]
        with_an_inbox(
            [make_account(sync_enabled=False, imap_host="127.0.0.1", imap_port=port) for _ in range(CLUSTERS)]
        )
        begin_tick()
        holders = Lease.objects.filter(purpose=Lease.Purpose.SYNC).values("holder").distinct()
        wait_until(lambda: holders.count() == 2, seconds=60, what="leases of both hosts")
