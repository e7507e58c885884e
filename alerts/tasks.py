"""The tasks of the alerts, called by django-q2. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from alerts import incidents, notice_delivery
from alerts.events import numbers, webhook_delivery
from alerts.models import Webhook
from alerts.problems.find import find_problems
from mailbox import deletions
from mailbox.queueing import queue

KEPT = timedelta(days=90)
EVENTS_KEPT = timedelta(days=7)


def watch(*, foreground: bool = False, now: datetime | None = None) -> None:
    """Every minute: find problems, update the incidents and send the notices that are due. Raises what a part of the
    search raised, when all else is done.

    `foreground`: in `manage.py alerts`, which sends its mail itself, as it also notifies when no worker is running.
    """
    now = now or timezone.now()
    try:
        problems = find_problems(now)
        incidents.update(problems, now)
    finally:  # what was found before is told though this search fails
        notice_delivery.send_due(now, foreground=foreground)
    problems.all()


def send_due() -> None:
    """Send the notices that are due now, after a person's click."""
    notice_delivery.send_due(timezone.now())


def queue_sending() -> None:
    """Queue the sending of notices, once the current transaction has committed."""
    queue("alerts.tasks.send_due", group="alerts")


def send_events() -> int:
    """Every half minute, and after changes: number new events and post them to the webhooks.

    Returns how many deliveries were attempted. Events are numbered even without any webhook, since unnumbered ones are
    never deleted.
    """
    numbers.give()
    return webhook_delivery.send_all()


def queue_events() -> None:
    """Queue the posting of events, if there is a webhook, once the current transaction has committed."""
    if Webhook.objects.filter(is_on=True).exists():
        queue("alerts.tasks.send_events", group="events")


def prune() -> None:
    """Daily: delete incidents that ended, and events, longer ago than KEPT and EVENTS_KEPT."""
    deletions.if_two_looks_agree("alerts", lambda now: incidents.forget(now - KEPT))
    deletions.if_two_looks_agree("events", lambda now: numbers.forget(now - EVENTS_KEPT))
