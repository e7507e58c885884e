"""django-q2's entry points of people. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from people.links import forgotten
from people.models import EmailChange

WISH_KEPT = timedelta(days=1)


def answer_password_requests() -> int:
    """Send the links that people asked for; also each minute, for those whose task was lost."""
    now = timezone.now()
    EmailChange.objects.filter(asked_at__lt=now - WISH_KEPT).delete()
    return forgotten.answer_all(now)
