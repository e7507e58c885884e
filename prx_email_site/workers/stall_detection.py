"""Decides from the shared states whether a cluster hangs. Pure, except for the clock in `states`."""

from __future__ import annotations

from collections.abc import Callable

from prx_email_site.workers import shared_state
from prx_email_site.workers.limits import SupervisorLimits
from prx_email_site.workers.shared_state import SharedStates, WorkerState


class StallDetector:
    """Its look() is called again and again; it returns why the cluster must be ended, or "".

    is_running: whether the process with a pid exists and is not stopped.
    """

    def __init__(self, states: SharedStates, limits: SupervisorLimits, is_running: Callable[[int], bool]) -> None:
        self._states, self._limits, self._is_running = states, limits, is_running
        self._looked_at = self._began = self._well_at = states.clock()
        self._stop_since = 0.0

    def look(self, *, is_stopping: bool) -> str:
        """Why the cluster must be ended now, as words for the log; "" if it need not. is_stopping: it drains."""
        now = self._states.clock()
        if now - self._looked_at > self._limits.own_sleep:
            self._began = self._well_at = now  # this process itself did not run
            self._stop_since = self._stop_since and now
        self._looked_at = now
        return self._look_at_stop(now) if is_stopping else self._look_at_work(now)

    def _look_at_work(self, now: float) -> str:
        if all(map(self._works, self._states.all_workers())):
            self._well_at = now  # all workers are busy, so none could take the pulse
        last = max(self._well_at, min(self._states.at(shared_state.PULSE_RETURNED), now))
        if now - last > self._limits.silent:
            return f"no task came through for {now - last:.0f} s although a worker is free"
        heard = max(self._began, self._states.at(shared_state.SENTINEL))
        if now - heard > self._limits.silent:
            return f"the sentinel is silent for {now - heard:.0f} s"
        return ""

    def _look_at_stop(self, now: float) -> str:
        """A drain may last while some worker has a task (up to `stop`), plus `silent` for the rest."""
        if not self._stop_since:
            self._stop_since = self._well_at = now
        if any(map(self._works, self._states.all_workers())):
            self._well_at = now
        if now - self._well_at > self._limits.silent:
            return f"nothing was left to wait for since {now - self._well_at:.0f} s"
        if now - self._stop_since > self._limits.stop:
            return f"tasks went on for {now - self._stop_since:.0f} s after the stop was asked for"
        return ""

    def _works(self, worker: WorkerState) -> bool:
        return bool(worker.pid and worker.busy_since) and self._is_running(worker.pid)


class StoppedProcesses:
    """Finds processes that have been stopped by a signal at every look for longer than the limit."""

    def __init__(self, limits: SupervisorLimits) -> None:
        self._limits = limits
        self._since: dict[int, float] = {}

    def look(self, stopped: set[int], now: float) -> list[int]:
        """The pids that were in `stopped` at every look for longer than the limit. now: by time.monotonic()."""
        self._since = {pid: self._since.get(pid, now) for pid in stopped}
        return [pid for pid, since in self._since.items() if now - since > self._limits.stopped]
