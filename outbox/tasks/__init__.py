"""The outbox's entry points for django-q2. Arguments are ids only; each may run twice or be killed at any instruction.

Queues and Schedule rows store a task as a dotted path. It is always `outbox.tasks.NAME`, so a function may move between
these modules while tasks wait in the queue.
"""

from outbox.tasks.bulk import delete_account, run_operation, sweep_operations
from outbox.tasks.delivery import deliver, deliver_account, run_connection_test, sweep
from outbox.tasks.sent_folder import copy_to_sent, look_in_sent, read_reports, sweep_afterwards
from outbox.tasks.storage import count_storage

__all__ = [
    "copy_to_sent",
    "count_storage",
    "delete_account",
    "deliver",
    "deliver_account",
    "look_in_sent",
    "read_reports",
    "run_connection_test",
    "run_operation",
    "sweep",
    "sweep_afterwards",
    "sweep_operations",
]
