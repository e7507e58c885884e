"""What the tests of retention share: an account, rules, and a sweep by a fixed clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from mailbox.models import (
    Account,
    Message,
    RetentionRule,
)
from prx_email_site.retention import sweep
from tests.rows import NOWHERE

NOW = timezone.now()
OLD = NOW - timedelta(days=400)


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


def rule(what: str, days: int = 365, **fields: Any) -> RetentionRule:
    return RetentionRule.objects.create(what=what, days=days, **fields)


def swept() -> None:
    sweep.remove_slice(NOW.isoformat())


def subjects() -> set[str]:
    return set(Message.objects.values_list("subject", flat=True))
