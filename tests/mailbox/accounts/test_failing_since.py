"""Since when a server fails is forgotten once it works: IMAP once somebody signs in, SMTP once it takes a mail."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mailbox.models import Account, Transport

pytestmark = pytest.mark.django_db
MONDAY = timezone.now() - timedelta(days=30)


@pytest.mark.parametrize(("kind", "remembered"), [("imap", False), ("smtp", True)])
def test_a_sign_in_ends_the_failure_of_imap_alone(account: Account, kind: str, remembered: bool) -> None:
    transport: Transport = getattr(account, kind)
    transport.mark_unavailable("no route", timezone.now(), MONDAY)
    transport.mark_signed_in()
    transport.refresh_from_db()
    assert (transport.failing_since is not None) is remembered

    transport.mark_unavailable("no route", timezone.now())
    transport.refresh_from_db()
    assert (transport.failing_since == MONDAY) is remembered, "a new failure has its own date"
