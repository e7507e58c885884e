"""django-q2's entry points for bulk actions and deletions. Ids only; each may run twice or be killed at any point."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from mailbox.models import Account
from mailbox.queueing import queue
from outbox import account_deletion
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
    """Every minute: queue operations and deletions that a worker left unfinished again, and gather the addresses of
    new mail."""
    for account_id in Account.objects.being_deleted().values_list("pk", flat=True):
        queue_deletion(account_id)
    left = actions_bulk.stalled(timezone.now())
    for operation_id in left:
        queue_operation(operation_id)
    return {"operations": len(left), "addresses": address_book.gather(timezone.now())}


def delete_account(account_id: int) -> dict[str, bool]:
    """Delete a slice of an account, and queue the rest; where another process holds a lease, the sweep does so."""
    outcome = account_deletion.go_on_by_worker(account_id)
    if outcome.left and not outcome.busy:
        queue_deletion(account_id)
    return {"left": outcome.left}


def queue_deletion(account_id: int) -> None:
    """Queue delete_account() for when the present transaction commits."""
    name, timeout = f"delete_account {account_id}", settings.TASK_TIMEOUT_SECONDS
    queue("outbox.tasks.delete_account", account_id, task_name=name, timeout=timeout)


def queue_operation(operation_id: int) -> None:
    """Queue run_operation() for when the present transaction commits."""
    name, timeout = f"run_operation {operation_id}", settings.TASK_TIMEOUT_SECONDS
    queue("outbox.tasks.run_operation", operation_id, task_name=name, timeout=timeout)
