"""An SMTP server that takes no mail: said on dashboard, account and list, and by an alert, until a mail goes out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import Kind
from alerts.problems.find import find_problems
from mailbox.models import Account, Transport
from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from tests.outbox.conftest import short_waits
from tests.rows import outbox_row
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Reply

__all__ = ["short_waits"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits")]
BUSY = "421 4.3.2 relay is down for maintenance"


def failing(account_on: Callable[..., Account], server: SmtpServer, *, minutes: int) -> Account:
    """An account whose relay refused us at its greeting, first so many minutes ago; three mails wait."""
    server.on("CONNECT", Reply(BUSY))
    account = account_on(server)
    for number in range(3):
        api.queue(account.pk, "bob@example.test", f"Hello {number}", "A text.")
    deliver.deliver_account(account.pk)
    began = timezone.now() - timedelta(minutes=minutes)
    assert Transport.objects.filter(pk=account.smtp_id, failing_since__isnull=False).update(failing_since=began) == 1
    return account


def sending(account: Account) -> list[str]:
    return [each.sentence for each in find_problems(timezone.now()).found if each.kind == Kind.SENDING]


def pages(client: Client, account: Account) -> list[str]:
    addresses = (reverse("dashboard"), reverse("mailbox:accounts"), reverse("mailbox:account", args=[account.pk]))
    return [client.get(address).content.decode() for address in addresses]


def test_after_ten_minutes_every_page_says_it_in_the_servers_words(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer], client: Client, make_user: Any
) -> None:
    account = failing(account_on, smtp_server(), minutes=12)
    client.force_login(make_user("operator"))
    (sentence,) = sending(account)
    assert sentence.startswith(f"Sending from {account.email} fails since ")
    assert "3 mails wait" in sentence and "relay is down for maintenance" in sentence
    for page in pages(client, account):
        assert "sending fails" in page and "3 mails wait" in page and "relay is down for maintenance" in page


def test_within_ten_minutes_and_three_failures_nobody_is_called(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    account = failing(account_on, smtp_server(), minutes=9)
    assert sending(account) == []
    Transport.objects.filter(pk=account.smtp_id).update(failure_count=3)
    assert len(sending(account)) == 1


def test_it_ends_with_the_first_mail_that_goes_out_and_not_with_a_sign_in(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server = smtp_server()
    account = failing(account_on, server, minutes=12)
    account.smtp.mark_signed_in()
    assert len(sending(account)) == 1
    server.accept()
    OutboxMessage.objects.update(next_attempt_at=timezone.now())
    deliver.deliver_account(account.pk)
    assert sending(account) == []
    assert Transport.objects.get(pk=account.smtp_id).failing_since is None


def test_with_nothing_left_to_send_nothing_fails(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    account = failing(account_on, smtp_server(), minutes=600)
    OutboxMessage.objects.update(status="cancelled")
    assert sending(account) == []


def test_one_accounts_failure_is_not_said_of_another(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer], make_account: Callable[..., Account]
) -> None:
    failing(account_on, smtp_server(), minutes=12)
    other = make_account("other@example.com", imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)
    outbox_row(other)
    assert [other.email in each for each in sending(other)] == [False]
