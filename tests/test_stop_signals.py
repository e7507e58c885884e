"""The commands that stay end by signals, however many and whenever they come.

The kernel sends several when a parent with threads is killed (`parent_death`), and people press Ctrl-C twice.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.ports import wait_until
from tests.servers.site import Cluster

pytestmark = pytest.mark.processes

BURST = 400


def is_running(process: Cluster) -> bool:
    return process.process.poll() is None


@pytest.fixture
def start(transactional_db: None, tmp_path: Path) -> Iterator[Callable[[str], Cluster]]:
    started: list[Cluster] = []

    def start(command: str) -> Cluster:
        started.append(Cluster(tmp_path / "log", command=("manage.py", command)))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.mark.parametrize("processes", [2, 6], ids=["while it starts", "when it runs"])
@pytest.mark.in_part(2)
def test_a_burst_of_signals_ends_a_cluster_and_all_it_started(start: Callable[[str], Cluster], processes: int) -> None:
    """The second process is the sentinel, for which django-q2's start waits; the sixth is the last."""
    cluster = start("qcluster")
    wait_until(lambda: len(cluster.pids()) >= processes, seconds=30, what="its processes")
    burst(cluster)
    wait_until(lambda: not is_running(cluster) and not cluster.pids(), seconds=30, what="the end")
    assert cluster.process.returncode == 0, cluster.log()


@pytest.mark.long
def test_a_burst_of_signals_ends_the_push_listener(start: Callable[[str], Cluster]) -> None:
    listener = start("idle")
    wait_until(lambda: "Listening" in listener.log(), seconds=30, what="it to listen")
    burst(listener)
    wait_until(lambda: not is_running(listener), seconds=30, what="the end")
    assert listener.process.returncode == 0, listener.log()


def burst(process: Cluster) -> None:
    for number in range(BURST):
        if not is_running(process):
            return
        os.kill(process.pid, signal.SIGTERM if number % 2 else signal.SIGINT)
        time.sleep(number * 1e-6)  # ever longer, so that some arrive wherever the handler of one before may be
