"""That workers are there is known as soon as they take tasks."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from django_q.models import Schedule, Task
from django_q.tasks import async_task

from mailbox.models import WorkerHeartbeat
from prx_email_site.workers.supervisor import SWITCH_SECONDS
from tests.servers.ports import wait_until
from tests.servers.site import Cluster

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_cluster_is_seen_before_its_clock_turns(start_workers: Callable[..., Cluster]) -> None:
    Schedule.objects.all().delete()
    cluster = start_workers()
    until = time.monotonic() + 30
    while not WorkerHeartbeat.objects.exists():
        assert time.monotonic() < until, cluster.log()
        time.sleep(0.1)


def test_the_workers_threads_wait_less_for_one_another(workers: Cluster) -> None:
    async_task("sys.getswitchinterval")
    done = Task.objects.filter(func="sys.getswitchinterval")
    wait_until(done.exists, seconds=30, what="a worker to take the task")
    assert done.get().result == pytest.approx(SWITCH_SECONDS)
