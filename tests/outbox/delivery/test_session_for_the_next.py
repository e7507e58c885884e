"""What an answer that comes late, or a session that ends, means for the mail after it."""

from __future__ import annotations

from typing import Any

import pytest

from outbox.delivery import deliver as delivery_deliver
from outbox.models import OutboxMessage
from tests.outbox.delivery.queued_mails import Accounts, Start, in_thread, queued, states
from tests.servers.smtp_faults import Drop, Hold, Raw, Reply, Silence

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits"), pytest.mark.wire]


def test_an_answer_that_comes_late_is_not_taken_for_the_next_mails(account_on: Accounts, smtp_server: Start) -> None:
    """The server is slower than our patience: its 250 would be read as the answer to the next mail's MAIL."""
    server, hold = smtp_server("tls"), Hold()
    server.on(".", hold, times=1)
    account = account_on(server)
    queued(account), queued(account)

    def release_when_given_up() -> None:
        while states()[0][0] in ("pending", "sending"):
            pass
        hold.release()

    releaser = in_thread(release_when_given_up)
    delivery_deliver.deliver_account(account.pk)
    releaser.join(20)

    assert states() == [("failed", "uncertain"), ("sent", "")]
    assert server.connections == 2


@pytest.mark.parametrize("fault", [Drop(), Silence(), Raw(b"garbage\r\n"), Reply("354 Go on")], ids=repr)
def test_after_an_unknown_outcome_the_next_mail_has_a_session_of_its_own(
    account_on: Accounts, smtp_server: Start, fault: Any
) -> None:
    server = smtp_server("tls")
    server.on(".", fault, times=1)
    account = account_on(server)
    queued(account), queued(account)

    delivery_deliver.deliver_account(account.pk)

    assert states() == [("failed", "uncertain"), ("sent", "")]
    assert (server.connections, len(server.mails())) == (2, 1)


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
@pytest.mark.parametrize("fault", [Drop(), Reply("421 4.7.0 Too many mails in this session")], ids=repr)
def test_a_session_that_the_server_ends_between_two_mails_costs_no_attempt(
    account_on: Accounts, smtp_server: Start, command: str, fault: Any
) -> None:
    server = smtp_server("tls")
    server.on(command, fault, containing="second" if command == "RCPT" else "", times=1)
    account = account_on(server)
    first = queued(account, "first@example.test")
    if command == "MAIL":
        server.accept()
        server.deliver = lambda mail: server.on("MAIL", fault, times=1) if len(server.mails()) == 1 else None
    queued(account, "second@example.test")

    delivery_deliver.deliver_account(account.pk)

    assert states() == [("sent", ""), ("sent", "")]
    assert [row.retries for row in OutboxMessage.objects.all()] == [0, 0] and first.attempts.count() == 1
    assert (server.connections, len(server.mails())) == (2, 2)


def test_a_fresh_session_that_is_lost_is_not_opened_over_and_over(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    server.on("MAIL", Drop())
    account = account_on(server)
    queued(account), queued(account)

    delivery_deliver.deliver_account(account.pk)

    assert server.connections == 1
    assert [row.retries for row in OutboxMessage.objects.order_by("pk")] == [1, 0]
