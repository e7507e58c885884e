"""The parent's own watch: a process that ends everything when the parent is silent.

It is in a session of its own, so that a signal to the parent's process group does not reach it, and it dies with the
parent (`parent_death`).
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
    def __init__(self, states: SharedStates, limits: SupervisorLimits) -> None:
        self._states, self._limits = states, limits
        self._pid = 0

    @property
    def pid(self) -> int:
        return self._pid

    def ensure_running(self) -> None:
        """In the parent: fork it, and again when it has ended. One that is stopped is killed like all others."""
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
