"""django-q2's entry points for what comes after an attempt: looks and copies in Sent, delivery reports. Ids only.

Each may run twice or be killed at any instruction; what is forgotten, sweep_afterwards() finds.
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
    """Look for one uncertain mail; recipients that it turns out to lack are tried at once."""
    if network.is_off():
        return
    if sent_folder_lookup.look(lookup_id) is not None:
        _queue("outbox.tasks.deliver")


def copy_to_sent(account_id: int) -> dict[str, int]:
    """Put copies of what went out into the account's Sent folder, within a budget; queue the rest."""
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
    """Each half minute: plan and queue looks and copies, read the reports that were missed."""
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
    """What an account's delivery left to do is done at once, not at the next sweep."""
    now = timezone.now()
    if sent_folder_lookup.open_lookups(now):
        for lookup_id in sent_folder_lookup.due(now):
            _queue("outbox.tasks.look_in_sent", lookup_id)
    if account_id in sent_folder_copy.accounts_due(now):
        queue_copies(account_id)


def queue_copies(account_id: int) -> None:
    """Have a worker make the copies of an account, once the present transaction has committed."""
    _queue("outbox.tasks.copy_to_sent", account_id)


def queue_look(lookup_id: int) -> None:
    """Have a worker look for an uncertain mail, once the present transaction has committed."""
    _queue("outbox.tasks.look_in_sent", lookup_id)


def queue_reports(stored: list[int]) -> None:
    """Messages were stored: have a worker read those that may be delivery reports."""
    found = bounces_matching.candidates(stored)
    if found:
        _queue("outbox.tasks.read_reports", *found)


def _queue(function: str, *ids: int) -> None:
    task_name = f"{function.rpartition('.')[2]} {' '.join(map(str, ids))}".strip()[:100]
    queue(function, *ids, task_name=task_name, timeout=settings.TASK_TIMEOUT_SECONDS)
