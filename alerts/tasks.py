"""django-q2's entry points of the alerts. Every one may run twice, or be killed at any instruction."""

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
    """Each minute: what needs a person, who is to be told of it, and the telling.

    `foreground`: by `manage.py alerts`, which also tells that no worker is running and so delivers its mail itself.
    """
    now = now or timezone.now()
    incidents.update(find_problems(now), now)
    notice_delivery.send_due(now, foreground=foreground)


def send_due() -> None:
    """Tell what waits, as soon as somebody clicked."""
    notice_delivery.send_due(timezone.now())


def queue_sending() -> None:
    """Have a worker tell what waits, once the present transaction has committed."""
    queue("alerts.tasks.send_due", group="alerts")


def send_events() -> int:
    """Each half minute, and after news: post events to the webhooks; how many deliveries were tried. Events get their
    numbers also where nobody listens: what has none is never forgotten."""
    numbers.give()
    return webhook_delivery.send_all()


def queue_events() -> None:
    """Have a worker post events, if anybody wants them, once the present transaction has committed."""
    if Webhook.objects.filter(is_on=True).exists():
        queue("alerts.tasks.send_events", group="events")


def prune() -> None:
    """Daily: forget what was over long ago."""
    deletions.if_two_looks_agree("alerts", lambda now: incidents.forget(now - KEPT))
    deletions.if_two_looks_agree("events", lambda now: numbers.forget(now - EVENTS_KEPT))
