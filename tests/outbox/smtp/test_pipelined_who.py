"""Which mails follow MAIL and RCPT unasked, and which are asked about first."""

from __future__ import annotations

import pytest
from django.utils import timezone

from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from outbox.smtp import pipelined
from tests.outbox.smtp.pipelined import Accounts, Start, fast_server, queue, state, went_unasked
from tests.servers.smtp_faults import Reply

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("short_waits"),
    pytest.mark.wire,
]


@pytest.mark.parametrize(
    "text", ["One line.\nMAIL FROM:<me@example.test>\nMore.", "mail from:<> in the middle of words"]
)
def test_what_a_server_might_obey_is_not_written_unasked(
    account_on: Accounts, smtp_server: Start, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fast_server(smtp_server)
    counted = went_unasked(monkeypatch)
    rows = queue(account_on(server), text=text)
    deliver.deliver_account(rows[0].account_id)
    assert counted() == 0 and [state(row) for row in rows] == [("sent", "", 0)] * 3


def test_a_slow_server_is_asked_first(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a tarpit: "data" is not committed for a mail that waits for an answer to MAIL."""
    monkeypatch.setattr(pipelined, "SLOW_SECONDS", 0.0)
    server = fast_server(smtp_server)
    counted = went_unasked(monkeypatch)
    rows = queue(account_on(server))
    deliver.deliver_account(rows[0].account_id)
    assert counted() == 0 and [state(row) for row in rows] == [("sent", "", 0)] * 3


def test_a_mail_to_several_or_to_one_refused_before_is_asked_for_first(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the outcome stay unknown, "Mark as sent" must know who was taken."""
    server = fast_server(smtp_server)
    server.on("RCPT", Reply("450 4.2.1 Greylisted"), containing="again@", times=1)
    account = account_on(server)
    assert not api.send(account.pk, "again@example.test", "Refused at first", "A text.").ok
    counted = went_unasked(monkeypatch)
    again = OutboxMessage.objects.get()
    assert api.queue(account.pk, "ann@example.test", "First", "A text.").ok
    assert api.queue(account.pk, "bob@example.test, cid@example.test", "Two", "A text.").ok
    OutboxMessage.objects.filter(pk=again.pk).update(next_attempt_at=timezone.now())  # it comes last
    deliver.deliver_account(account.pk)
    assert counted() == 0 and set(OutboxMessage.objects.values_list("status", flat=True)) == {"sent"}


@pytest.mark.parametrize("offered", [{"pipelining": True}, {"chunking": True}])
def test_a_server_without_either_extension_is_asked_first(
    account_on: Accounts, smtp_server: Start, offered: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = smtp_server("tls", **offered)
    counted = went_unasked(monkeypatch)
    rows = queue(account_on(server))
    deliver.deliver_account(rows[0].account_id)
    assert counted() == 0 and [state(row) for row in rows] == [("sent", "", 0)] * 3
