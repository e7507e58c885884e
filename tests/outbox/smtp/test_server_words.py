"""What a server offers and the limit it is used under decide what is sent: end to end, on a real session."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from outbox.views.sentences import waits_for
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Reply

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]


@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "PIPELINING"])
def test_an_address_in_utf_8_goes_out_where_the_server_takes_it(
    account_on: Accounts, smtp_server: Start, pipelining: bool
) -> None:
    server = smtp_server("tls", smtputf8=True, pipelining=pipelining)

    assert api.send(account_on(server).pk, "jürgen@example.test", "Grüße", "Text ü.").ok

    (mail,) = server.mails()
    assert mail.rcpt_tos == ["jürgen@example.test"] and "jürgen@example.test".encode() in mail.raw
    (said,) = [line for line in server.commands if line.startswith("MAIL")]
    assert said.endswith(" SMTPUTF8") and " BODY=8BITMIME" in said


def test_a_mail_in_ascii_does_not_ask_for_smtputf8(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls", smtputf8=True)

    assert api.send(account_on(server).pk, "bob@münchen.example", "Hello", "A text.").ok

    assert server.mails()[0].rcpt_tos == ["bob@xn--mnchen-3ya.example"]
    assert not any("SMTPUTF8" in line for line in server.commands)


def test_an_address_that_the_server_cannot_take_is_never_offered_to_it(
    account_on: Accounts, smtp_server: Start
) -> None:
    server = smtp_server("tls")

    response = api.send(account_on(server).pk, "jürgen@example.test", "Hello", "A text.")

    row = OutboxMessage.objects.get()
    assert response.error and "does not offer SMTPUTF8" in row.error
    assert (row.status, row.hold) == ("failed", "permanent")
    assert server.mails() == [] and not any(line.startswith("MAIL") for line in server.commands)


@pytest.mark.parametrize("offered", ["AUTH\tPLAIN,LOGIN\n250 SIZE", "\nAUTH PLAIN\n250 8BITMIME"])
def test_what_is_offered_without_the_servers_name_above_it_is_offered(
    account_on: Accounts, smtp_server: Start, offered: str
) -> None:
    server = smtp_server("tls")
    server.on("EHLO", Reply(offered))

    assert api.send(account_on(server).pk, "bob@example.test", "Hello", "A text.").ok


def test_what_waits_for_the_rate_limit_says_so_with_its_time(account_on: Accounts, smtp_server: Start) -> None:
    account = account_on(smtp_server("tls"), messages_per_minute=1)
    for _ in range(2):
        assert api.queue(account.pk, "bob@example.test", "Hello", "A text.").ok

    deliver.deliver_account(account.pk)

    at = timezone.localtime(account.send_pace.next_at)
    row = OutboxMessage.objects.queued().get()
    assert waits_for(row) == f"Rate limit of {account.email} (1 a minute): next at {at:%H:%M:%S}."
    Account.objects.filter(pk=account.pk).update(messages_per_minute=None)
    assert waits_for(OutboxMessage.objects.get(pk=row.pk)) == ""
