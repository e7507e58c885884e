"""The one place where tasks are queued.

The broker is a bell. What is to be done stands in rows, and the sweeps find it: a bell that cannot be rung is an event
in the log, never the failure of what was stored.
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
    transaction.on_commit(partial(_ring, function, arguments, options))


def _ring(function: str, arguments: tuple[object, ...], options: dict[str, Any]) -> None:
    try:
        async_task(function, *arguments, q_options=dict(options))
    except Exception as error:  # of whatever broker: Redis and the database have no class in common
        event(logger, "task_not_queued", logging.WARNING, task=function, error=f"{type(error).__name__}: {error}")
