"""An address that the server is known not to take is refused before it is queued; else the page says who refused it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import deliver
from outbox.models import DeliveryAttempt, OutboxMessage
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "m\u00fcller@example.test"


def test_what_the_server_offered_last_is_asked_before_it_is_queued(
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    client: Client,
    make_user: Callable[..., User],
) -> None:
    account = account_on(smtp_server("tls"))
    assert api.queue(account.pk, ADDRESS, "Hello", "A text.").ok  # nothing is known of the server yet
    deliver.deliver_account(account.pk)
    row = OutboxMessage.objects.get()
    assert (row.status, row.hold) == ("failed", "permanent")
    client.force_login(make_user("operator"))
    page = client.get(reverse("outbox:detail", args=[row.pk])).content.decode()
    assert "was not given to the server" in page and "The server refused it" not in page

    refused = api.queue(account.pk, ADDRESS, "Hello", "A text.")
    assert refused.error and "SMTPUTF8" in refused.error.message
    assert api.queue(account.pk, "ann@example.test", "Hello", "A text.").ok
    DeliveryAttempt.objects.update(finished_at=timezone.now() - timedelta(days=2))  # what it offers may have changed
    assert api.queue(account.pk, ADDRESS, "Hello", "A text.").ok
