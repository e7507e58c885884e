"""That workers are there is known as soon as they take tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import Schedule, Task
from django_q.tasks import async_task

from mailbox import schedules
from mailbox.models import Account, SyncRun, SyncState, WorkerHeartbeat
from prx_email_site.workers.supervisor import SWITCH_SECONDS
from tests.mailbox.sync.synced import fill, on_server, stored
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.site import Cluster

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


@pytest.mark.long
def test_a_cluster_is_seen_before_its_clock_turns(start_workers: Callable[..., Cluster]) -> None:
    Schedule.objects.all().delete()
    cluster = start_workers()
    until = time.monotonic() + 30
    while not WorkerHeartbeat.objects.exists():
        assert time.monotonic() < until, cluster.log()
        time.sleep(0.1)


def test_a_cluster_that_is_stopped_in_order_takes_its_heartbeat_along(start_workers: Callable[..., Cluster]) -> None:
    Schedule.objects.all().delete()
    cluster = start_workers()
    wait_until(WorkerHeartbeat.objects.exists, seconds=30, what="a heartbeat")
    cluster.stop()
    assert not WorkerHeartbeat.objects.exists()


@pytest.mark.long
def test_the_workers_threads_wait_less_for_one_another(workers: Cluster) -> None:
    async_task("sys.getswitchinterval")
    done = Task.objects.filter(func="sys.getswitchinterval")
    wait_until(done.exists, seconds=30, what="a worker to take the task")
    assert done.get().result == pytest.approx(SWITCH_SECONDS)


def test_accounts_that_are_due_when_a_cluster_starts_are_looked_at_at_once(
    start_workers: Callable[..., Cluster], make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    """Not with django-q2's own first look at its schedules, half a minute later."""
    account = make_account()
    fill(dovecot, account, 1)
    schedules.make_schedules()
    Schedule.objects.update(next_run=timezone.now() - timedelta(minutes=5))
    start_workers()
    looked = SyncState.objects.filter(account=account, last_success_at__isnull=False)
    wait_until(looked.exists, seconds=60, what="the first look")
    at_work_since = WorkerHeartbeat.objects.get().started_at
    assert SyncRun.objects.earliest("pk").started_at - at_work_since < timedelta(seconds=20)
    assert stored(account) == on_server(dovecot, account)
