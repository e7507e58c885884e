"""What a refusal in answer to the final dot leaves open: with a real Dovecot whose relay fails it, and by table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from mailbox.models import Account
from outbox.delivery import deliver
from tests.outbox.smtp.pipelined import Accounts, Start, queue, state
from tests.servers.dovecot import Dovecot
from tests.servers.smtp_dialogue import Dialogue, Left
from tests.servers.smtp_faults import Drop, Reply

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits"), pytest.mark.wire]
OFFERED = [{}, {"pipelining": True}]
UNKNOWN = [
    "421 4.4.0 Lost connection to relay server",  # Dovecot
    "421 4.3.2 Shutting down",
    "451 4.4.2 Timeout waiting for the next hop",
    "450 4.4.1 Connection timed out",
    "554 5.4.0 The connection to the next server was lost",
    "451 4.3.0 Remote end closed connection unexpectedly",
    "441 The next server did not respond",
]
KNOWN = ["451 4.3.0 Queue file write error", "452 4.2.2 Mailbox full", "450 4.7.1 Greylisted", "451 Try again later"]


def at_dovecot(dovecot: Dovecot, make_account: Callable[..., Account]) -> Account:
    return make_account(
        smtp_host="localhost",
        smtp_port=dovecot.submission_port,
        smtp_security="starttls",
        ca_certificate=dovecot.ca_pem,
    )


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_mail_that_dovecots_relay_took_before_the_connection_was_lost_is_never_sent_again_by_itself(
    dovecot: Dovecot, make_account: Callable[..., Account], which: int
) -> None:
    """Dovecot says "421 4.4.0 Lost connection to relay server" of it, and the relay has it."""
    account = at_dovecot(dovecot, make_account)
    dovecot.sink.on(".", Drop(keep_mail=True), containing=f"u{which}@", times=1)
    rows = queue(account, 3)

    for hours in range(4):
        deliver.deliver_account(account.pk, clock=lambda after=hours: timezone.now() + timedelta(hours=after))

    states = [state(row) for row in rows]
    assert states.pop(which) == ("failed", "uncertain", 0), rows[which].error
    assert states == [("sent", "", 0)] * 2
    assert sorted(mail.rcpt_tos[0] for mail in dovecot.sink.mails()) == [f"u{n}@example.test" for n in range(3)]


@pytest.mark.parametrize("said", UNKNOWN)
@pytest.mark.parametrize("offered", OFFERED, ids=lambda offered: " ".join(offered) or "DATA")
def test_a_refusal_that_tells_of_a_lost_connection_is_a_question(
    account_on: Accounts, smtp_server: Start, offered: dict[str, bool], said: str
) -> None:
    server = smtp_server("tls", **offered)
    server.on(".", Reply(said), containing="u1@")
    rows = queue(account_on(server), 2)

    for hours in range(3):
        deliver.deliver_account(rows[0].account_id, clock=lambda after=hours: timezone.now() + timedelta(hours=after))

    assert state(rows[1]) == ("failed", "uncertain", 0) and rows[1].attempts.count() == 1
    assert rows[1].error == said and state(rows[0]) == ("sent", "", 0)


@pytest.mark.parametrize("said", KNOWN)
def test_any_other_refusal_for_now_is_tried_again_by_itself(
    account_on: Accounts, smtp_server: Start, said: str
) -> None:
    server = smtp_server("tls", pipelining=True)
    server.on(".", Reply(said), times=1)
    rows = queue(account_on(server), 1)
    deliver.deliver_account(rows[0].account_id)
    assert state(rows[0]) == ("failed", "", 1)
    deliver.deliver_account(rows[0].account_id, clock=lambda: timezone.now() + timedelta(hours=1))
    assert state(rows[0]) == ("sent", "", 1) and len(server.mails()) == 1


@pytest.mark.parametrize("said", ["421 4.3.2 Shutting down", "451 4.4.2 Timeout"])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_before_the_mail_is_given_the_same_words_are_no_question(
    account_on: Accounts, smtp_server: Start, command: str, said: str
) -> None:
    server = smtp_server("tls")
    server.on(command, Reply(said), times=1)
    rows = queue(account_on(server), 1)
    deliver.deliver_account(rows[0].account_id)
    deliver.deliver_account(rows[0].account_id, clock=lambda: timezone.now() + timedelta(hours=1))
    assert state(rows[0])[:2] == ("sent", "") and len(server.mails()) == 1


@pytest.mark.parametrize("says", ["", "552 5.3.4 Too large"])
def test_a_connection_lost_with_octets_of_the_mail_unwritten_is_no_question(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    """The server stops reading in the middle of a large mail and closes."""

    def read_a_part(self: Dialogue) -> bytes:
        self.reader.read(100_000)
        if says:
            self.say(says)
        raise Left

    monkeypatch.setattr(Dialogue, "_read_content", read_a_part)
    server = smtp_server("tls")
    # More than the sockets of both sides hold, however large the kernel lets them grow: else all of it is written.
    rows = queue(account_on(server), 1, ("x" * 70 + "\n") * 130_000)

    deliver.deliver_account(rows[0].account_id)

    # Its words may be lost with the connection; that nothing was taken is known in any case.
    assert state(rows[0])[1] in ("", "permanent" if says else ""), rows[0].error
    assert rows[0].attempts.get().outcome in ("transient", "permanent" if says else "transient")
    monkeypatch.undo()
    later = timezone.now() + timedelta(hours=1)
    if not rows[0].hold:
        deliver.deliver_account(rows[0].account_id, clock=lambda: later)
        assert state(rows[0])[:2] == ("sent", "") and len(server.mails()) == 1
