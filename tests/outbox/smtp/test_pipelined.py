"""MAIL, RCPT and DATA in one write, the body, the commit of "dot", and only then the end of the mail in one write.

Each word of the server and each end of a connection before that end is no question: the mail is tried again by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailbox.models import Account
from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from outbox.smtp import mail_transaction
from tests.outbox.smtp.pipelined import Accounts, Start, after_the_first, queue, state
from tests.servers.dovecot import Dovecot
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Drop, Fault, Raw, Reply, Surplus

in_database = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits")]
pytestmark = pytest.mark.wire
LINE = "x" * 70 + "\n"


def fast_server(start: Start) -> SmtpServer:
    return start("tls", pipelining=True)


class TestInTheDatabase:
    pytestmark = in_database

    @pytest.mark.parametrize(
        "fault", [Drop(), Raw(b"\x00\xffgarbage\r\n"), Raw(b"25"), Raw(b"250-half\r\n"), Raw(b"250 " + b"x" * 200_000)]
    )
    @pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
    def test_a_connection_lost_before_the_end_is_no_question(
        self, account_on: Accounts, smtp_server: Start, command: str, fault: Fault
    ) -> None:
        server = fast_server(smtp_server)
        after_the_first(server, command, fault)
        rows = queue(account_on(server))

        deliver.deliver_account(rows[0].account_id)

        assert [state(row) for row in rows] == [("sent", "", 0)] * 3
        assert server.connections == 2 and rows[1].attempts.count() == 1
        assert sorted(server.copies().values()) == [1, 1, 1]

    @pytest.mark.parametrize(
        ("reply", "hold", "outcome"),
        [("450 4.3.0 Not now", "", "transient"), ("550 5.3.0 Not ever", "permanent", "permanent")],
    )
    @pytest.mark.parametrize(("command", "phase"), [("MAIL", "mail"), ("RCPT", "rcpt"), ("DATA", "data"), (".", "dot")])
    def test_a_refusal_is_known_for_one_and_the_session_goes_on(
        self,
        account_on: Accounts,
        smtp_server: Start,
        command: str,
        phase: str,
        reply: str,
        hold: str,
        outcome: str,
    ) -> None:
        server = fast_server(smtp_server)
        after_the_first(server, command, Reply(reply))
        rows = queue(account_on(server))

        deliver.deliver_account(rows[0].account_id)

        assert state(rows[1]) == ("failed", hold, 1)
        attempt = rows[1].attempts.get()
        assert (attempt.outcome, attempt.phase, rows[1].data_at) == (outcome, phase, None)
        assert reply in rows[1].error and attempt.reply_code == int(reply[:3])
        assert state(rows[2]) == ("sent", "", 0) and server.connections == 1
        assert len(server.said("RSET")) == 1
        server.accept()
        assert api.retry_outbox(rows[1].pk, now_anyway=True).ok
        assert sorted(server.copies().values()) == [1, 1, 1]

    @pytest.mark.parametrize("at_once", [30, 50, 100], ids=["in four writes", "DATA by itself", "in one"])
    def test_who_is_refused_beside_others_lacks_the_mail_and_the_others_have_it(
        self, account_on: Accounts, smtp_server: Start, at_once: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mail_transaction, "RECIPIENTS_AT_ONCE", at_once)
        server = fast_server(smtp_server)
        server.on("RCPT", Reply("550 5.1.1 No such user"), containing="u7@")
        account = account_on(server)
        everybody = [f"u{number}@example.test" for number in range(100)]
        assert api.queue(account.pk, ", ".join(everybody), "To all", "A text.").ok
        deliver.deliver_account(account.pk)
        row = OutboxMessage.objects.get()
        assert (row.hold, row.recipients.filter(status="accepted").count()) == ("permanent", 99)
        (mail,) = server.mails()
        assert mail.rcpt_tos == [each for each in everybody if not each.startswith("u7@")]

    @pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
    def test_a_server_that_has_had_enough_of_the_session_gets_the_mail_in_a_fresh_one(
        self, account_on: Accounts, smtp_server: Start, command: str
    ) -> None:
        server = fast_server(smtp_server)
        after_the_first(server, command, Raw(b"421 4.7.0 Too many mails in this session\r\n"))
        rows = queue(account_on(server))

        deliver.deliver_account(rows[0].account_id)

        assert [state(row) for row in rows] == [("sent", "", 0)] * 3
        assert server.connections == 2 and sorted(server.copies().values()) == [1, 1, 1]
        assert rows[1].attempts.count() == 1

    @pytest.mark.parametrize("command", ["MAIL", "RCPT"])
    @pytest.mark.parametrize(
        "fault",
        [Reply("354 Go ahead"), Surplus(b"250 2.1.0 Ok\r\n"), Surplus(b"250 2.1.0 Ok\r\n250 2.0.0 Taken\r\n")],
        ids=repr,
    )
    def test_answers_that_are_none_lead_to_a_fresh_session(
        self, account_on: Accounts, smtp_server: Start, command: str, fault: Fault
    ) -> None:
        """What is taken for "taken" would be there before the mail."""
        server = fast_server(smtp_server)
        rows = queue(account_on(server), 2)
        after_the_first(server, command, fault)
        deliver.deliver_account(rows[0].account_id)
        assert [state(row) for row in rows] == [("sent", "", 0)] * 2
        assert server.connections == 2 and sorted(server.copies().values()) == [1, 1]


@pytest.mark.django_db(transaction=True)
def test_dovecot_takes_it_and_refuses_in_it(dovecot: Dovecot, make_account: Callable[..., Account]) -> None:
    """A recipient that is refused behind Dovecot, in the middle of a queue: the session goes on."""
    dovecot.sink.refuse("RCPT", "550 5.1.1 No such user", containing="u2@")
    account = make_account(
        smtp_host="localhost",
        smtp_port=dovecot.submission_port,
        smtp_security="starttls",
        ca_certificate=dovecot.ca_pem,
    )
    rows = queue(account, 5)
    deliver.deliver_account(account.pk)
    assert [state(row)[:2] for row in rows] == [
        ("sent", ""),
        ("sent", ""),
        ("failed", "permanent"),
        *[("sent", "")] * 2,
    ]
    assert sorted(mail.rcpt_tos[0] for mail in dovecot.sink.mails()) == [f"u{n}@example.test" for n in (0, 1, 3, 4)]
