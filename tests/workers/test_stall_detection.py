"""When a cluster must end, by a clock that the test turns."""

from __future__ import annotations

import pytest

from prx_email_site.workers import shared_state
from prx_email_site.workers.limits import SupervisorLimits
from prx_email_site.workers.shared_state import SharedStates
from prx_email_site.workers.stall_detection import StallDetector, StoppedProcesses

LIMITS = SupervisorLimits(silent=45, stop=900)


class Cluster:
    """Shared states, and a detector that looks at them every second."""

    def __init__(self, workers: int = 2) -> None:
        self.now, self.stopped = 1000.0, set[int]()
        self.states = SharedStates(workers, clock=lambda: self.now)
        for slot in range(workers):
            self.states.worker_started(slot, pid=slot + 1)
        self.detector = StallDetector(self.states, LIMITS, is_running=lambda pid: pid not in self.stopped)

    def busy(self, *slots: int) -> None:
        for slot in range(self.states.workers):
            self.states.worker_busy(slot, is_busy=slot in slots)

    def run(self, seconds: int, *cells: int, is_stopping: bool = False) -> str:
        """What the detector says at the end or first; `cells` are noted each second."""
        for _ in range(seconds):
            self.now += 1
            for cell in cells:
                self.states.note(cell)
            if why := self.detector.look(is_stopping=is_stopping):
                return why
        return ""


def test_a_cluster_whose_pulse_comes_back_goes_on() -> None:
    assert Cluster().run(1000, shared_state.SENTINEL, shared_state.PULSE_RETURNED) == ""


def test_no_pulse_although_a_worker_is_free_is_the_end() -> None:
    cluster = Cluster()
    cluster.busy(0)
    assert cluster.run(45, shared_state.SENTINEL) == ""
    assert "a worker is free" in cluster.run(2, shared_state.SENTINEL)


def test_no_pulse_while_all_workers_are_busy_is_no_fault() -> None:
    cluster = Cluster()
    cluster.busy(0, 1)
    assert cluster.run(900, shared_state.SENTINEL) == ""
    cluster.busy(0)
    assert cluster.run(40, shared_state.SENTINEL) == ""
    assert cluster.run(10, shared_state.SENTINEL) != ""


def test_a_busy_worker_that_was_stopped_does_not_count_as_busy() -> None:
    cluster = Cluster()
    cluster.busy(0, 1)
    cluster.stopped.add(2)
    assert cluster.run(50, shared_state.SENTINEL) != ""


def test_a_silent_sentinel_is_the_end_however_busy_all_are() -> None:
    cluster = Cluster()
    cluster.busy(0, 1)
    assert "sentinel is silent" in cluster.run(50, shared_state.PULSE_RETURNED)


def test_who_was_away_itself_begins_anew() -> None:
    """A paused container: everything stood still, the detector too."""
    cluster = Cluster()
    cluster.run(10, shared_state.SENTINEL, shared_state.PULSE_RETURNED)
    cluster.now += 3600
    assert cluster.run(40) == ""
    assert cluster.run(10) != ""


@pytest.mark.parametrize(("busy", "seconds"), [((), 47), ((0,), 902)], ids=["nothing to do", "a task without end"])
def test_a_stop_has_an_end(busy: tuple[int, ...], seconds: int) -> None:
    cluster = Cluster()
    cluster.busy(*busy)
    assert cluster.run(seconds - 2, is_stopping=True) == ""
    assert cluster.run(3, is_stopping=True) != ""


def test_a_process_is_given_up_when_it_was_stopped_for_a_while_at_each_look() -> None:
    stopped = StoppedProcesses(LIMITS)
    assert [stopped.look({7, 8}, 0), stopped.look({7}, 10), stopped.look({7, 8}, 16)] == [[], [], [7]]
    assert stopped.look({8}, 30) == []
