"""django-q2's sentinel, extended: it notes in the shared states that it lives, and runs due schedules at its start."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

from django.db import connections
from django.utils import timezone
from django_q import cluster
from django_q.scheduler import scheduler

from mailbox import process_heartbeats
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.models import ProcessHeartbeat
from prx_email_site.workers import pulse, shared_state
from prx_email_site.workers.shared_state import SharedStates

KILL_AFTER_SECONDS = 1.0  # time in which a worker whose task timed out saves that and ends by itself


def _take_over_heartbeat() -> None:
    """Put the sentinel's heartbeat, which workers write from their first task on, in place of the command's."""
    with contextlib.suppress(*DATABASE_TROUBLE):  # then the first task writes it
        process_heartbeats.note(ProcessHeartbeat.Role.WORKERS, timezone.now())
        process_heartbeats.forget(ProcessHeartbeat.Role.WORKERS, pid=os.getppid())
    connections.close_all()  # forks must not share connections


class Sentinel(cluster.Sentinel):  # type: ignore[misc]
    """Runs in its own process: the constructor returns only when the cluster has stopped."""

    def __init__(self, states: SharedStates, *args: Any) -> None:
        self.states = states
        super().__init__(*args)

    def start(self) -> None:
        """Work as django-q2's sentinel; returns when the cluster has stopped."""
        # Also for all processes forked here. A signal to the whole group (from systemd, `timeout`) is meant as a stop,
        # which the parent initiates; a child that died of it could keep a lock or lose a mail's outcome.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _take_over_heartbeat()
        super().start()

    def status(self) -> str:
        """django-q2 calls this in each turn of its loops."""
        self.states.note(shared_state.SENTINEL)
        return str(super().status())

    def guard(self) -> None:
        """django-q2's loop, after one look at the schedules."""
        scheduler(broker=self.broker)  # django-q2 first does this after half a minute
        super().guard()

    def spawn_worker(self) -> None:
        """Fork a worker for the lowest free slot of the shared states."""
        taken = {worker.slot for worker in self.pool}
        pulse.slot = next(number for number in range(self.pool_size) if number not in taken)
        super().spawn_worker()
        self.pool[-1].slot = pulse.slot
        pulse.slot = -1

    def reincarnate(self, process: Any) -> None:
        """Replace an ended process; one whose task timed out may end by itself first, and is killed otherwise."""
        if process in self.pool and process.is_alive() and process.timer.value == 0:  # here django-q2 sends SIGTERM
            process.join(KILL_AFTER_SECONDS)
            process.kill()
        super().reincarnate(process)
