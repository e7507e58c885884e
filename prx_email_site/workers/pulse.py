"""The pulse: an empty task that takes the way of all tasks within a cluster (pusher, worker, monitor).

It shows whether this cluster's processes still pass tasks on. It does not use the broker or the database, so it shows
nothing about those. Here the workers also note in the shared states when they begin and end a task.
"""

from __future__ import annotations

import os
from typing import Any

from django.utils import timezone
from django_q.signals import post_execute, post_execute_in_worker, post_spawn, pre_execute
from django_q.signing import SignedPackage

from mailbox import queueing
from prx_email_site.workers import shared_state
from prx_email_site.workers.limits import SupervisorLimits
from prx_email_site.workers.shared_state import SharedStates

FUNCTION = "prx_email_site.workers.pulse.answer"
BUSY_SECONDS = 3.0  # longer than the short tasks that check accounts every minute

# Shared by this process and its forks; None if this process runs no cluster.
_states: SharedStates | None = None
_limits = SupervisorLimits()
slot = -1  # the worker's number in this process; set before the worker is forked


def answer() -> None:
    """The function of the pulse's task; does nothing."""


def connect(states: SharedStates, limits: SupervisorLimits) -> None:
    """Make this process's forks write to the shared states. Called once, before they are forked."""
    global _states, _limits
    _states, _limits = states, limits
    post_spawn.connect(_worker_started)
    pre_execute.connect(_worker_begins)
    post_execute_in_worker.connect(_worker_ended)
    post_execute.connect(_monitor_saved)
    queueing.ask_whether_to_wait(may_wait)


def may_wait() -> bool:
    """Whether this worker may go on while it only waits for work.

    False when the cluster stops, or when all other workers have been busy for BUSY_SECONDS, so that other tasks would
    have to wait for this one.
    """
    if _states is None:
        return True
    busy_before = _states.clock() - BUSY_SECONDS
    others = [each for number, each in enumerate(_states.all_workers()) if number != slot]
    has_free = any(not each.busy_since or each.busy_since > busy_before for each in others)
    return has_free and not _states.at(shared_state.STOPPING)


def due() -> list[tuple[None, str]]:
    """The pulse in the form in which a broker returns tasks, or [] if it is not yet time. Runs in the pusher.

    While a pulse is on its way, another is sent only after `pulse_lost_after`: else they would fill the queue while all
    workers are busy. A pulse may be lost with its worker.
    """
    if _states is None:
        return []
    sent, now = _states.at(shared_state.PULSE_SENT), _states.clock()
    is_back = _states.at(shared_state.PULSE_RETURNED) >= sent
    if now - sent < (_limits.pulse_every if is_back else _limits.pulse_lost_after):
        return []
    _states.note(shared_state.PULSE_SENT)
    # save: False, so that its success is not saved in the database. There is no id to acknowledge.
    task = {"id": "pulse", "name": "pulse", "func": FUNCTION, "args": (), "kwargs": {}, "save": False}
    return [(None, SignedPackage.dumps(task | {"started": timezone.now()}))]


def _worker_started(**_: Any) -> None:
    if _states is not None and slot >= 0:
        _states.worker_started(slot, os.getpid())


def _worker_begins(**_: Any) -> None:
    if _states is not None and slot >= 0:
        _states.worker_busy(slot, is_busy=True)


def _worker_ended(**_: Any) -> None:
    if _states is not None and slot >= 0:
        _states.worker_busy(slot, is_busy=False)


def _monitor_saved(task: dict[str, Any], **_: Any) -> None:
    if _states is not None and task["func"] == FUNCTION:
        _states.note(shared_state.PULSE_RETURNED)
