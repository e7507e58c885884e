"""django-q2's entry points for bulk actions. Ids only; each may run twice or be killed at any instruction."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from mailbox.queueing import queue
from outbox.actions import bulk as actions_bulk
from outbox.compose import address_book
from outbox.models import Operation
from outbox.tasks import delivery as delivery_tasks


def run_operation(operation_id: int) -> dict[str, int]:
    """Run a slice of an operation; queue the rest again, and a delivery if rows became due."""
    accounts = actions_bulk.run(operation_id)
    if accounts:
        delivery_tasks.queue_delivery()
    if Operation.objects.unfinished().filter(pk=operation_id).exists():
        queue_operation(operation_id)
    return {"accounts": len(accounts)}


def sweep_operations() -> dict[str, int]:
    """Every minute: queue operations that a worker left unfinished again, and gather the addresses of new mail."""
    left = actions_bulk.stalled(timezone.now())
    for operation_id in left:
        queue_operation(operation_id)
    return {"operations": len(left), "addresses": address_book.gather(timezone.now())}


def queue_operation(operation_id: int) -> None:
    """Queue run_operation() for when the present transaction commits."""
    name, timeout = f"run_operation {operation_id}", settings.TASK_TIMEOUT_SECONDS
    queue("outbox.tasks.run_operation", operation_id, task_name=name, timeout=timeout)
