"""What the tests of the dashboard share: an account that is in step, workers, the page and its first part."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import (
    Account,
    PushHeartbeat,
    SyncState,
    WorkerHeartbeat,
)
from tests.rows import NOWHERE, folder_of


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    """One that is in step."""
    account = make_account("ops@example.com", **NOWHERE)
    SyncState.objects.create(account=account, folder=folder_of(account), last_success_at=timezone.now())
    return account


def workers_alive(seen_at: datetime | None = None) -> None:
    now = timezone.now()
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=1, started_at=now, seen_at=seen_at or now)
    PushHeartbeat.beat("of web1", "web1", 2, {}, now)


def board(client: Client, query: str = "") -> str:
    response = client.get(reverse("dashboard") + query)
    assert response.status_code == 200
    return response.content.decode()


def needs(page: str) -> str:
    """The part of the page above the chart."""
    return page.split('aria-labelledby="needs-you"')[1].split("</section>")[0]
