"""A task without content that goes the way of all tasks, within one cluster: pusher, worker, monitor; and what each
worker notes of its tasks.

It never reaches the broker or the database, so it says nothing of those: only whether this cluster's own processes
still hand tasks on.
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
BUSY_SECONDS = 3.0  # each minute's looks at accounts with nothing new take less

# Of this process and its forks; None where no cluster of ours runs.
_states: SharedStates | None = None
_limits = SupervisorLimits()
slot = -1  # of this process, when it is a worker: set before it is forked


def answer() -> None:
    """What the pulse's task does: nothing."""


def connect(states: SharedStates, limits: SupervisorLimits) -> None:
    """Have this process's forks write to the shared states. Called once, before they are forked."""
    global _states, _limits
    _states, _limits = states, limits
    post_spawn.connect(_worker_started)
    pre_execute.connect(_worker_begins)
    post_execute_in_worker.connect(_worker_ended)
    post_execute.connect(_monitor_saved)
    queueing.ask_whether_to_wait(may_wait)


def may_wait() -> bool:
    """Whether this worker may keep its process while it only waits: not when the cluster stops, nor when all others
    have been busy for a while, so that whatever comes would wait for this one."""
    if _states is None:
        return True
    busy_before = _states.clock() - BUSY_SECONDS
    others = [each for number, each in enumerate(_states.all_workers()) if number != slot]
    has_free = any(not each.busy_since or each.busy_since > busy_before for each in others)
    return has_free and not _states.at(shared_state.STOPPING)


def due() -> list[tuple[None, str]]:
    """The pulse as a broker hands out a task, or [] when it is not time for one. Runs in the pusher.

    No second one before the first is back, or all places of the queue would fill with them while all workers are busy;
    but one may be lost with the worker that had it.
    """
    if _states is None:
        return []
    sent, now = _states.at(shared_state.PULSE_SENT), _states.clock()
    is_back = _states.at(shared_state.PULSE_RETURNED) >= sent
    if now - sent < (_limits.pulse_every if is_back else _limits.pulse_lost_after):
        return []
    _states.note(shared_state.PULSE_SENT)
    # save False: a success is not written to the database. There is no id to acknowledge.
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
