"""Watches the parent: a process that kills the whole cluster if the parent is silent.

It has a session of its own, so that signals to the parent's process group do not reach it; it dies with the parent
(`parent_death`).
"""

from __future__ import annotations

import os
import signal
import time

from prx_email_site.workers import processes, shared_state
from prx_email_site.workers.limits import SupervisorLimits
from prx_email_site.workers.shared_state import SharedStates

LOOK_SECONDS = 1.0


class Observer:
    """The parent's handle on the observing process."""

    def __init__(self, states: SharedStates, limits: SupervisorLimits) -> None:
        self._states, self._limits = states, limits
        self._pid = 0

    @property
    def pid(self) -> int:
        """The pid of the process; 0 before the first start."""
        return self._pid

    def ensure_running(self) -> None:
        """Fork the observer if it does not run; called in the parent. A stopped one is killed like other processes."""
        if self._pid and os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            return
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.setsid()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                self._watch(parent)
            finally:
                os._exit(0)

    def _watch(self, parent: int) -> None:
        looked_at = began = self._states.clock()
        while os.getppid() == parent:
            time.sleep(min(LOOK_SECONDS, self._limits.silent / 4))
            now = self._states.clock()
            if now - looked_at > self._limits.own_sleep:
                began = now
            looked_at = now
            if now - max(began, self._states.at(shared_state.PARENT)) > self._limits.silent:
                processes.kill([each.pid for each in processes.below(parent) if each.pid != os.getpid()] + [parent])
                return
