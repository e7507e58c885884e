"""The one place where tasks are queued.

The broker only wakes workers: the work itself stands in rows, which sweeps find. A task that cannot be queued is logged
and never makes the caller fail.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from django.db import transaction
from django_q.tasks import async_task

from mailbox.logs import event

logger = logging.getLogger(__name__)


def queue(function: str, *arguments: object, **options: Any) -> None:
    """Have a worker run `function` (a dotted path), once the present transaction has committed: a worker may be faster
    than it. `options` are django-q2's: group, task_name, timeout. Raises nothing."""
    transaction.on_commit(partial(_send_to_broker, function, arguments, options))


def _send_to_broker(function: str, arguments: tuple[object, ...], options: dict[str, Any]) -> None:
    try:
        async_task(function, *arguments, q_options=dict(options))
    except Exception as error:  # of whatever broker: Redis and the database have no class in common
        event(logger, "task_not_queued", logging.WARNING, task=function, error=f"{type(error).__name__}: {error}")
