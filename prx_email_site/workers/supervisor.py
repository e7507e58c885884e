"""The parent of a cluster: starts the sentinel, watches the cluster, and ends all its processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import time
import uuid
from multiprocessing.process import BaseProcess

from mailbox.logs import event
from mailbox.management.stop_signals import StopSignals
from prx_email_site.parent_death import adopt_orphans
from prx_email_site.workers import processes, pulse, schedule_runs, shared_state
from prx_email_site.workers.limits import SupervisorLimits
from prx_email_site.workers.observer import Observer
from prx_email_site.workers.sentinel import Sentinel
from prx_email_site.workers.shared_state import SharedEvent, SharedStates
from prx_email_site.workers.stall_detection import StallDetector, StoppedProcesses

logger = logging.getLogger(__name__)
LOOK_SECONDS = 0.2
PROCESSES_SECONDS = 3.0  # between two readings of all the machine's processes, which are too slow for each look
END_SECONDS = 10.0  # a killed process that still exists after this time hangs in the kernel
# sys.setswitchinterval: how long a thread that is ready may wait for one that computes. Python's default of 5 ms is
# longer than most waits for a server, and several sessions that are opened at once wait for each other many times.
SWITCH_SECONDS = 0.0005
EX_TEMPFAIL = 75  # sysexits(3); `make run` and systemd then start the cluster again


class Supervisor:
    """One cluster, from `run` to its end."""

    def __init__(self, workers: int, limits: SupervisorLimits) -> None:
        self.signals = StopSignals()
        self._limits = limits
        self._states = SharedStates(workers)
        self._stop = SharedEvent(self._states, shared_state.STOPPING)
        self._detector = StallDetector(self._states, limits, processes.is_running)
        self._stopped = StoppedProcesses(limits)
        self._next_look_at_processes = 0.0
        self._observer = Observer(self._states, limits)
        self._sentinel = self._make_sentinel()

    def _make_sentinel(self) -> BaseProcess:
        pulse.connect(self._states, self._limits)
        schedule_runs.connect()
        started = SharedEvent(self._states, shared_state.STARTED)
        # "fork", so that the child has the shared states and all imported modules.
        return multiprocessing.get_context("fork").Process(
            target=Sentinel, name="sentinel", args=(self._states, self._stop, started, uuid.uuid4())
        )

    def run(self, *, once: bool) -> int:
        """Run until a signal, and then until the running tasks are done; returns the exit status.

        once: stop as soon as the cluster has started.
        """
        sys.setswitchinterval(SWITCH_SECONDS)  # forked workers inherit it
        adopt_orphans()
        self._states.note(shared_state.PARENT)
        self._observer.ensure_running()
        self._sentinel.start()
        while self._sentinel.is_alive():
            self._wait()
            if once or self.signals.wait(0):
                self._stop.set()
            if why := self._detector.look(is_stopping=self._stop.is_set()):
                return self._give_up(why)
            self._look_at_processes()
        if not self._stop.is_set() or self._sentinel.exitcode:
            return self._give_up(f"the sentinel ended by itself (status {self._sentinel.exitcode})")
        self._end_all()
        return 0

    def _wait(self) -> None:
        self._states.note(shared_state.PARENT)
        self._observer.ensure_running()
        if self._stop.is_set():
            time.sleep(LOOK_SECONDS)
        else:
            self.signals.wait(LOOK_SECONDS)

    def _look_at_processes(self) -> None:
        now = self._states.clock()
        if now < self._next_look_at_processes:
            return
        self._next_look_at_processes = now + min(PROCESSES_SECONDS, self._limits.stopped / 3)
        found = processes.below(os.getpid())
        self._kill_stopped({each.pid for each in found if each.state == "T"}, now)
        processes.reap(each.pid for each in found if each.pid not in (self._sentinel.pid, self._observer.pid))

    def _kill_stopped(self, stopped: set[int], now: float) -> None:
        """Kill processes that have been stopped for too long: they keep tasks and locks. django-q2 replaces them."""
        if found := self._stopped.look(stopped, now):
            event(logger, "stopped_processes_killed", logging.WARNING, pids=found)
            processes.kill(found)

    def _give_up(self, why: str) -> int:
        event(logger, "cluster_ended", logging.ERROR, reason=why)
        self._end_all()
        return EX_TEMPFAIL

    def _end_all(self) -> None:
        """Kill all descendants and wait for their end. Orphans become our children: see `adopt_orphans`."""
        end = self._states.clock() + END_SECONDS
        self._sentinel.kill()
        self._sentinel.join(END_SECONDS)
        while (left := [each.pid for each in processes.below(os.getpid())]) and self._states.clock() < end:
            processes.kill(left)
            processes.reap(left)
            time.sleep(0.02)
