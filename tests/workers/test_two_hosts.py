"""A second host takes its share of a tick: two clusters with data folders of their own, one database, one queue."""

from __future__ import annotations

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


def test_both_hosts_take_slices_of_one_tick(
    start_workers: Callable[..., Cluster], make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    """Each has one worker: while the first is at its slice, only the second can take the other share."""
    accounts = [make_account(sync_enabled=False) for _ in range(MANY)]
    Folder.objects.bulk_create(Folder(account=each, name="INBOX", sync_enabled=True) for each in accounts)
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
    for pid in (1, 2):
        WorkerHeartbeat.objects.create(host=f"h{pid}", cluster_pid=pid, started_at=now, seen_at=now)
    Account.objects.update(sync_enabled=True)
    queue("mailbox.tasks.sync_tick", group="sync")
    looked_at = SyncState.objects.filter(last_success_at__isnull=False)
    wait_until(lambda: looked_at.count() == MANY, seconds=120, what="a look at all accounts")
    for cluster in clusters:
        wait_until(lambda log=cluster.log: " sync_run " in log(), seconds=30, what="a slice of each host")  # type: ignore[misc]
    assert not SyncState.objects.exclude(last_error_code="").exists()
    wait_until(lambda: not Lease.objects.exists(), seconds=30, what="the end of all leases")
    assert SyncRun.objects.earliest("pk").attempted >= MANY
