"""The cluster's parent: starts the sentinel, watches that work goes on, and ends it all."""

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
PROCESSES_SECONDS = 3.0  # to read all processes of the machine is too much for each look
END_SECONDS = 10.0  # what was killed and is not gone by then waits within the kernel
# A worker's thread whose socket or disk is ready waits so long for one that computes. Python's own 5 ms are longer
# than most of our waits, and several sessions that are opened at once wait for one another many times.
SWITCH_SECONDS = 0.0005
EX_TEMPFAIL = 75  # sysexits(3): `make run` and systemd start it again


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
        # "fork": the states and all that was imported are there without another word.
        return multiprocessing.get_context("fork").Process(
            target=Sentinel, name="sentinel", args=(self._states, self._stop, started, uuid.uuid4())
        )

    def run(self, *, once: bool) -> int:
        """Until a signal, and then until the tasks under way are done; the exit status. `once` starts and stops."""
        sys.setswitchinterval(SWITCH_SECONDS)  # the workers are forked and have it too
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
        """A process that somebody stopped and forgot holds its tasks, perhaps a lock: django-q2 replaces a dead one."""
        if found := self._stopped.look(stopped, now):
            event(logger, "stopped_processes_killed", logging.WARNING, pids=found)
            processes.kill(found)

    def _give_up(self, why: str) -> int:
        event(logger, "cluster_ended", logging.ERROR, reason=why)
        self._end_all()
        return EX_TEMPFAIL

    def _end_all(self) -> None:
        """Kill what is below us and wait for its end: orphans come to us, see `adopt_orphans`."""
        end = self._states.clock() + END_SECONDS
        self._sentinel.kill()
        self._sentinel.join(END_SECONDS)
        while (left := [each.pid for each in processes.below(os.getpid())]) and self._states.clock() < end:
            processes.kill(left)
            processes.reap(left)
            time.sleep(0.02)
