"""The one place where tasks are queued, and where a task asks whether it may stay.

A task only wakes a worker: the work itself is in the database, where periodic sweeps find it. So a task that cannot be
queued is logged, and the caller goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction
from django_q.tasks import async_task

from mailbox.logs import event

logger = logging.getLogger(__name__)


def queue(function: str, *arguments: object, **options: Any) -> None:
    """Have a worker run `function` (a dotted path) after the current transaction has committed. Raises nothing.

    `options`: django-q2's `group`, `task_name` and `timeout`.
    """
    transaction.on_commit(partial(_send_to_broker, function, arguments, options))


def _send_to_broker(function: str, arguments: tuple[object, ...], options: dict[str, Any]) -> None:
    try:
        async_task(function, *arguments, q_options=dict(options))
    except Exception as error:  # the errors of Redis and the database have no common class
        event(logger, "task_not_queued", logging.WARNING, task=function, error=f"{type(error).__name__}: {error}")


def _always() -> bool:
    return True


_may_wait: Callable[[], bool] = _always


def may_wait() -> bool:
    """Whether a task that only waits may keep the process that runs it: the workers' cluster decides."""
    return _may_wait()


def ask_whether_to_wait(may_wait: Callable[[], bool]) -> None:
    """Set the function that may_wait() calls: once, in the process that starts a cluster, before it forks."""
    global _may_wait
    _may_wait = may_wait
