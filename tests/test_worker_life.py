"""That workers are there is known as soon as they take tasks."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from django_q.models import Schedule

from mailbox.models import WorkerHeartbeat
from tests.servers.site import Cluster

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_cluster_is_seen_before_its_clock_turns(start_workers: Callable[..., Cluster]) -> None:
    Schedule.objects.all().delete()
    cluster = start_workers()
    until = time.monotonic() + 30
    while not WorkerHeartbeat.objects.exists():
        assert time.monotonic() < until, cluster.log()
        time.sleep(0.1)
