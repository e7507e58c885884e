"""The tasks of people, called by django-q2. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from people.links import forgotten
from people.models import EmailChange

WISH_KEPT = timedelta(days=1)


def answer_password_requests() -> int:
    """Send password links that were asked for, and delete address changes that were not confirmed within a day.

    Queued by each request, and run every minute for requests whose task was lost. Returns how many were answered.
    """
    now = timezone.now()
    EmailChange.objects.filter(asked_at__lt=now - WISH_KEPT).delete()
    return forgotten.answer_all(now)
