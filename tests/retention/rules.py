"""What the tests of retention share: an account, rules, and a sweep by a fixed clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from mailbox.models import (
    Message,
    RetentionRule,
)
from prx_email_site.retention import sweep

NOW = timezone.now()
OLD = NOW - timedelta(days=400)


def rule(what: str, days: int = 365, **fields: Any) -> RetentionRule:
    return RetentionRule.objects.create(what=what, days=days, **fields)


def swept() -> None:
    sweep.remove_slice(NOW.isoformat())


def subjects() -> set[str]:
    return set(Message.objects.values_list("subject", flat=True))
