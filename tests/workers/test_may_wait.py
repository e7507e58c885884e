"""A task that only waits keeps its process while another of the cluster is free, by a clock that the test turns."""

from __future__ import annotations

import pytest

from prx_email_site.workers import pulse, shared_state
from prx_email_site.workers.shared_state import SharedStates


class Cluster:
    """Of three workers; the first is the one that waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.states = SharedStates(3, clock=lambda: self.now)
        self.states.worker_busy(0, is_busy=True)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(pulse, "_states", made.states)
    monkeypatch.setattr(pulse, "slot", 0)
    return made


def test_it_waits_while_another_is_free(cluster: Cluster) -> None:
    cluster.states.worker_busy(1, is_busy=True)
    cluster.now += 60
    assert pulse.may_wait()


def test_it_leaves_once_all_others_have_been_busy_for_a_while(cluster: Cluster) -> None:
    cluster.states.worker_busy(1, is_busy=True)
    cluster.states.worker_busy(2, is_busy=True)
    cluster.now += pulse.BUSY_SECONDS - 0.5
    assert pulse.may_wait()
    cluster.now += 1
    assert not pulse.may_wait()
    cluster.states.worker_busy(2, is_busy=False)
    assert pulse.may_wait()


def test_it_leaves_when_the_cluster_stops(cluster: Cluster) -> None:
    cluster.states.note(shared_state.STOPPING)
    assert not pulse.may_wait()


def test_without_a_cluster_nothing_else_waits_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_states", None)
    assert pulse.may_wait()
