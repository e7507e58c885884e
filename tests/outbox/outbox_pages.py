"""An outbox with a mail in every state, and who looks at it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account
from outbox.models import OutboxMessage
from tests.rows import NOWHERE, outbox_row

GREYLISTED = "451 4.7.1 Greylisted, try again"
REFUSED = "550 5.1.1 User unknown"


@pytest.fixture
def other_account(make_account: Callable[..., Account]) -> Account:
    return make_account("other@example.com", **NOWHERE)


def in_every_state(account: Account) -> dict[str, OutboxMessage]:
    later = timezone.now() + timedelta(minutes=3)
    return {
        "queued": outbox_row(account, "Queued one"),
        "sending": outbox_row(account, "Sending one", status="sending"),
        "retrying": outbox_row(
            account, "Retrying one", status="failed", retries=2, next_attempt_at=later, error=GREYLISTED
        ),
        "needs_decision": outbox_row(account, "Uncertain one", status="failed", hold="uncertain", error="cut off"),
        "failed_for_good": outbox_row(account, "Refused one", status="failed", hold="permanent", error=REFUSED),
        "sent": outbox_row(account, "Sent one", status="sent"),
        "cancelled": outbox_row(account, "Cancelled one", status="cancelled"),
    }


def get(client: Client, name: str, *args: object, **query: Any) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def post(client: Client, name: str, *args: object, **fields: Any) -> str:
    """Click, follow the redirect, return the page's notices and what it says of an action on several rows."""
    response = client.post(reverse(name, args=args), fields, follow=True)
    assert response.redirect_chain
    said = [str(notice) for notice in response.context["messages"]]
    return " ".join([*said, response.context.get("result", "")]).strip()
