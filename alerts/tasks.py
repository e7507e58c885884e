"""django-q2's entry points of the alerts. Every one may run twice, or be killed at any instruction."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from alerts import findings, incidents, notices
from mailbox import deletions
from mailbox.queueing import queue

KEPT = timedelta(days=90)


def watch(*, foreground: bool = False, now: datetime | None = None) -> None:
    """Each minute: what needs a person, who is to be told of it, and the telling.

    `foreground`: by `manage.py alerts`, which also tells that no worker is running and so delivers its mail itself.
    """
    now = now or timezone.now()
    incidents.look(findings.find(now), now)
    notices.send_due(now, foreground=foreground)


def send_due() -> None:
    """Tell what waits, as soon as somebody clicked."""
    notices.send_due(timezone.now())


def queue_sending() -> None:
    """Have a worker tell what waits, once the present transaction has committed."""
    queue("alerts.tasks.send_due", group="alerts")


def prune() -> None:
    """Daily: forget what was over long ago."""
    deletions.if_two_looks_agree("alerts", lambda now: incidents.forget(now - KEPT))
