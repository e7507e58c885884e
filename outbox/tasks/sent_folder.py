"""django-q2's entry points for work after an attempt: look-ups and copies in Sent, delivery reports. Ids only.

Each may run twice or be killed at any instruction; sweep_afterwards() finds the work of lost tasks.
"""

from __future__ import annotations

import logging

from django.conf import settings
from django.utils import timezone

from mailbox import network
from mailbox.queueing import queue
from outbox.bounces import matching as bounces_matching
from outbox.sent_folder import copy as sent_folder_copy
from outbox.sent_folder import lookup as sent_folder_lookup

logger = logging.getLogger(__name__)


def look_in_sent(lookup_id: int) -> None:
    """Look for one uncertain mail in Sent. If it is found, queue a delivery for recipients who lack it."""
    if network.is_off():
        return
    if sent_folder_lookup.look(lookup_id) is not None:
        _queue("outbox.tasks.deliver")


def copy_to_sent(account_id: int) -> dict[str, int]:
    """Append copies of sent mail to the account's Sent folder, within a budget; queue the rest."""
    if network.is_off():
        return {"made": 0, "failed": 0}
    report = sent_folder_copy.make_copies(account_id)
    if report.more_due:
        queue_copies(account_id)
    return {"made": report.made, "failed": report.failed}


def read_reports(*message_ids: int) -> int:
    """Read received messages as delivery reports."""
    return sum(bounces_matching.read_message(pk) for pk in message_ids)


def sweep_afterwards() -> dict[str, int]:
    """Every half minute: plan and queue look-ups and copies, and read reports that were missed."""
    now = timezone.now()
    opened = sent_folder_lookup.open_lookups(now)
    looks = sent_folder_lookup.due(now)
    for lookup_id in looks:
        _queue("outbox.tasks.look_in_sent", lookup_id)
    sent_folder_copy.forget_cancelled(now)
    copies = sent_folder_copy.accounts_due(now)
    for account_id in copies:
        queue_copies(account_id)
    return {"opened": opened, "looks": len(looks), "copies": len(copies), "reports": bounces_matching.catch_up(now)}


def queue_after_delivery(account_id: int) -> None:
    """Queue the look-ups and copies that an account's delivery made due, rather than wait for the next sweep."""
    now = timezone.now()
    if sent_folder_lookup.open_lookups(now):
        for lookup_id in sent_folder_lookup.due(now):
            _queue("outbox.tasks.look_in_sent", lookup_id)
    if account_id in sent_folder_copy.accounts_due(now):
        queue_copies(account_id)


def queue_copies(account_id: int) -> None:
    """Queue an account's copies for when the present transaction commits."""
    _queue("outbox.tasks.copy_to_sent", account_id)


def queue_look(lookup_id: int) -> None:
    """Queue a look-up for when the present transaction commits."""
    _queue("outbox.tasks.look_in_sent", lookup_id)


def queue_reports(stored: list[int]) -> None:
    """Queue read_reports() for those of newly stored messages (pks) that may be delivery reports."""
    found = bounces_matching.candidates(stored)
    if found:
        _queue("outbox.tasks.read_reports", *found)


def _queue(function: str, *ids: int) -> None:
    task_name = f"{function.rpartition('.')[2]} {' '.join(map(str, ids))}".strip()[:100]
    queue(function, *ids, task_name=task_name, timeout=settings.TASK_TIMEOUT_SECONDS)
