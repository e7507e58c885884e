"""django-q2's sentinel: it notes in the shared states that it lives, and looks at the schedules when it starts."""

from __future__ import annotations

import signal
from typing import Any

from django_q import cluster
from django_q.scheduler import scheduler

from prx_email_site.workers import pulse, shared_state
from prx_email_site.workers.shared_state import SharedStates

KILL_AFTER_SECONDS = 1.0  # a worker whose task timed out writes that down and ends by itself


class Sentinel(cluster.Sentinel):  # type: ignore[misc]
    """Runs in its own process, from its constructor until it is asked to stop."""

    def __init__(self, states: SharedStates, *args: Any) -> None:
        self.states = states
        super().__init__(*args)

    def start(self) -> None:
        # For all that is forked here, too. Who signals the whole group (systemd by default, `timeout`) wants a stop,
        # and the parent asks for that: a child that dies of it takes a lock or a mail's outcome with it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        super().start()

    def status(self) -> str:
        """django-q2 asks for it in each turn of its loops."""
        self.states.note(shared_state.SENTINEL)
        return str(super().status())

    def guard(self) -> None:
        scheduler(broker=self.broker)  # django-q2's own first look comes after half a minute
        super().guard()

    def spawn_worker(self) -> None:
        taken = {worker.slot for worker in self.pool}
        pulse.slot = next(number for number in range(self.pool_size) if number not in taken)
        super().spawn_worker()
        self.pool[-1].slot = pulse.slot
        pulse.slot = -1

    def reincarnate(self, process: Any) -> None:
        if process in self.pool and process.is_alive() and process.timer.value == 0:  # django-q2 sends SIGTERM then
            process.join(KILL_AFTER_SECONDS)
            process.kill()
        super().reincarnate(process)
