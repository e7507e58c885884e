"""Run inside an installation, by Site.inside(): a program's token, and how fast a mail can be durable here at all."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from api import tokens
from api.models import Scope
from mailbox.models import AuditEntry
from mailbox.storage import raw_store

PER_MINUTE = 100_000  # the most that the page allows


def make_token() -> str:
    """Of an administrator, for all accounts."""
    user = User.objects.create_superuser("bench")
    terms = tokens.Terms("bench", [Scope.SEND], timezone.now() + timedelta(days=1), per_minute=PER_MINUTE)
    return tokens.make(user, terms, by=None)[1]


def durable_rate(count: int, size: int) -> float:
    """A mail's bytes on disk and then one row committed, one after another, without checks, HTTP or anything else:
    how many a second."""
    begin = time.monotonic()
    for _ in range(count):
        raw_store.save_batch([os.urandom(size)], now=timezone.now())
        AuditEntry.objects.create(verb="bench", target="bench")
    return count / (time.monotonic() - begin)
