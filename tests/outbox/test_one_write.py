"""From a session's second mail on, MAIL, RCPT and the mail go in one write: what its answers and faults mean."""

from __future__ import annotations

from collections.abc import Callable
from mailbox.models import Account

import pytest
from django.utils import timezone

from outbox import api, claims, delivery, smtp_one_write
from outbox.models import OutboxMessage
from tests.servers.dovecot import Dovecot
from tests.servers.smtp import SinkMail, SmtpServer
from tests.servers.smtp_faults import Drop, Fault, Raw, Reply, Silence

Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]
in_database = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits")]


def queue(account: Account, count: int = 3, text: str = "A text.") -> list[OutboxMessage]:
    for number in range(count):
        assert api.queue(account.pk, f"u{number}@example.test", f"Mail {number}", text).ok
    return list(OutboxMessage.objects.order_by("pk"))


def after_the_first(server: SmtpServer, command: str, fault: Fault, times: int | None = 1) -> None:
    """The fault meets the second mail and not the first."""

    def taken(mail: SinkMail) -> None:
        server.deliver = None
        server.on(command, fault, times=times)

    server.deliver = taken


def fast_server(start: Start) -> SmtpServer:
    return start("tls", pipelining=True, chunking=True)


def went_in_one_write(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    count: list[object] = []
    real = smtp_one_write.OneWriteConversation._write_and_hear

    def counted(self: object, *args: object) -> object:
        count.append(args)
        return real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(smtp_one_write.OneWriteConversation, "_write_and_hear", counted)
    return lambda: len(count)


def state(row: OutboxMessage) -> tuple[str, str, int]:
    row.refresh_from_db()
    return row.status, row.hold, row.retries


class TestInTheDatabase:
    pytestmark = in_database

    def test_the_second_mail_goes_in_one_write_and_data_is_committed_before_it(
        self, account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = fast_server(smtp_server)
        counted = went_in_one_write(monkeypatch)
        at_mail: list[set[int]] = []
        rows = queue(account_on(server))
        real = smtp_one_write.OneWriteConversation._write_and_hear

        def watched(self: object, *args: object) -> object:
            at_mail.append(set(OutboxMessage.objects.filter(data_at__isnull=False).values_list("pk", flat=True)))
            return real(self, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(smtp_one_write.OneWriteConversation, "_write_and_hear", watched)
        delivery.deliver_account(rows[0].account_id)

        assert counted() == 2 and server.connections == 1
        assert at_mail == [{rows[1].pk}, {rows[2].pk}]  # and of no other row at the same time
        assert [state(row) for row in rows] == [("sent", "", 0)] * 3
        attempt = rows[1].attempts.get()
        assert [entry["phase"] for entry in attempt.transcript] == ["mail", "rcpt", "data"]
        assert (attempt.phase, attempt.outcome) == ("accepted", "accepted")
        assert len(server.mails()) == 3 and server.said("RSET") == []

    @pytest.mark.parametrize(
        "fault", [Drop(), Silence(), Raw(b"\x00\xffgarbage\r\n"), Raw(b"25"), Raw(b"250-half\r\n")]
    )
    @pytest.mark.parametrize("command", ["MAIL", "RCPT", "BDAT", "."])
    def test_a_connection_lost_behind_it_asks_a_person(
        self, account_on: Accounts, smtp_server: Start, command: str, fault: Fault
    ) -> None:
        server = fast_server(smtp_server)
        after_the_first(server, command, fault)
        rows = queue(account_on(server))

        delivery.deliver_account(rows[0].account_id)

        assert state(rows[0]) == ("sent", "", 0)
        assert state(rows[1]) == ("failed", "uncertain", 0)
        assert rows[1].attempts.get().phase == "data"
        server.accept()
        OutboxMessage.objects.filter(pk=rows[2].pk).update(next_attempt_at=rows[2].created_at)
        Account.objects.get().smtp.mark_signed_in()
        delivery.deliver_account(rows[0].account_id)
        assert state(rows[2]) == ("sent", "", 0)
        assert max(server.copies().values()) == 1

    @pytest.mark.parametrize(
        ("reply", "hold", "outcome"),
        [("450 4.3.0 Not now", "", "transient"), ("550 5.3.0 Not ever", "permanent", "permanent")],
    )
    @pytest.mark.parametrize(
        ("command", "phase"), [("MAIL", "mail"), ("RCPT", "rcpt"), ("BDAT", "data"), (".", "data")]
    )
    def test_a_refusal_is_known_for_one_and_the_session_goes_on(
        self,
        account_on: Accounts,
        smtp_server: Start,
        command: str,
        phase: str,
        reply: str,
        hold: str,
        outcome: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        server = fast_server(smtp_server)
        counted = went_in_one_write(monkeypatch)
        after_the_first(server, command, Reply(reply))
        rows = queue(account_on(server))

        delivery.deliver_account(rows[0].account_id)

        assert state(rows[1]) == ("failed", hold, 1)
        attempt = rows[1].attempts.get()
        assert (attempt.outcome, attempt.phase, rows[1].data_at) == (outcome, phase, None)
        assert reply in rows[1].error and attempt.reply_code == int(reply[:3])
        # RSET, and what follows is asked for first.
        assert state(rows[2]) == ("sent", "", 0) and server.connections == 1
        assert len(server.said("RSET")) == 1 and counted() == 1
        server.accept()
        assert api.retry_outbox(rows[1].pk, now_anyway=True).ok
        assert sorted(server.copies().values()) == [1, 1, 1]

    @pytest.mark.parametrize("command", ["MAIL", "RCPT"])
    def test_a_server_that_has_had_enough_of_the_session_gets_the_mail_in_a_fresh_one(
        self, account_on: Accounts, smtp_server: Start, command: str
    ) -> None:
        server = fast_server(smtp_server)
        after_the_first(server, command, Raw(b"421 4.7.0 Too many mails in this session\r\n"))
        rows = queue(account_on(server))

        delivery.deliver_account(rows[0].account_id)

        assert [state(row) for row in rows] == [("sent", "", 0)] * 3
        assert server.connections == 2 and sorted(server.copies().values()) == [1, 1, 1]
        assert rows[1].attempts.count() == 1

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_session_that_ended_before_the_write_is_no_question(
        self, account_on: Accounts, smtp_server: Start, when: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`when` the server closed: before "data" of the second mail was committed, or just after."""
        server = fast_server(smtp_server)
        rows = queue(account_on(server))
        real, is_closed = claims.commit_data, list[bool]()

        def commit_data(claim: claims.Claim, *args: object, **options: object) -> bool:
            answer = real(claim, *args, **options)  # type: ignore[arg-type]
            if claim.outbox_id == rows[1].pk and not is_closed:
                is_closed.append(True)
                server.end_sessions()
            return answer

        if when == "after":
            monkeypatch.setattr(claims, "commit_data", commit_data)
        else:
            real_look = smtp_one_write.OneWriteConversation._check_nothing_said

            def look(self: smtp_one_write.OneWriteConversation) -> object:
                if not is_closed:
                    is_closed.append(True)
                    server.end_sessions()
                return real_look(self)

            monkeypatch.setattr(smtp_one_write.OneWriteConversation, "_check_nothing_said", look)

        delivery.deliver_account(rows[0].account_id)

        assert is_closed and [state(row) for row in rows] == [("sent", "", 0)] * 3
        assert server.connections == 2 and sorted(server.copies().values()) == [1, 1, 1]
        assert rows[1].attempts.count() == 1

    def test_a_word_that_nobody_asked_for_makes_nothing_sent_that_is_not(
        self, account_on: Accounts, smtp_server: Start
    ) -> None:
        """Its answers are moved by one: what stands for "taken" is the answer to RCPT, and one is left over."""
        server = fast_server(smtp_server)
        rows = queue(account_on(server), 2)
        after_the_first(server, "MAIL", Raw(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok\r\n552 5.2.2 Full\r\n"))
        delivery.deliver_account(rows[0].account_id)
        assert state(rows[1]) == ("failed", "uncertain", 0)

    @pytest.mark.parametrize(
        "text", ["One line.\nMAIL FROM:<me@example.test>\nMore.", "mail from:<> in the middle of words"]
    )
    def test_what_a_server_might_obey_is_not_written_unasked(
        self, account_on: Accounts, smtp_server: Start, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = fast_server(smtp_server)
        counted = went_in_one_write(monkeypatch)
        rows = queue(account_on(server), text=text)
        delivery.deliver_account(rows[0].account_id)
        assert counted() == 0 and [state(row) for row in rows] == [("sent", "", 0)] * 3

    def test_a_slow_server_is_asked_first(
        self, account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may be a tarpit: "data" is not committed for a mail that waits for an answer to MAIL."""
        monkeypatch.setattr(smtp_one_write, "SLOW_SECONDS", 0.0)
        server = fast_server(smtp_server)
        counted = went_in_one_write(monkeypatch)
        rows = queue(account_on(server))
        delivery.deliver_account(rows[0].account_id)
        assert counted() == 0 and [state(row) for row in rows] == [("sent", "", 0)] * 3

    def test_a_mail_to_several_or_to_one_refused_before_is_asked_for_first(
        self, account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Should the outcome stay unknown, "Mark as sent" must know who was taken."""
        server = fast_server(smtp_server)
        server.on("RCPT", Reply("450 4.2.1 Greylisted"), containing="again@", times=1)
        account = account_on(server)
        assert not api.send(account.pk, "again@example.test", "Refused at first", "A text.").ok
        counted = went_in_one_write(monkeypatch)
        again = OutboxMessage.objects.get()
        assert api.queue(account.pk, "ann@example.test", "First", "A text.").ok
        assert api.queue(account.pk, "bob@example.test, cid@example.test", "Two", "A text.").ok
        OutboxMessage.objects.filter(pk=again.pk).update(next_attempt_at=timezone.now())  # it comes last
        delivery.deliver_account(account.pk)
        assert counted() == 0 and set(OutboxMessage.objects.values_list("status", flat=True)) == {"sent"}

    @pytest.mark.parametrize("offered", [{"pipelining": True}, {"chunking": True}])
    def test_a_server_without_either_extension_is_asked_first(
        self, account_on: Accounts, smtp_server: Start, offered: dict[str, bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = smtp_server("tls", **offered)
        counted = went_in_one_write(monkeypatch)
        rows = queue(account_on(server))
        delivery.deliver_account(rows[0].account_id)
        assert counted() == 0 and [state(row) for row in rows] == [("sent", "", 0)] * 3

    def test_a_claim_that_was_lost_says_nothing_to_the_server(
        self, account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = fast_server(smtp_server)
        rows = queue(account_on(server), 2)
        real = claims.commit_data

        def commit_data(claim: claims.Claim, *args: object, **options: object) -> bool:
            if claim.outbox_id == rows[1].pk:
                OutboxMessage.objects.filter(pk=claim.outbox_id).update(claim_token="another")
            return real(claim, *args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(claims, "commit_data", commit_data)
        delivery.deliver_account(rows[0].account_id)
        assert len(server.said("MAIL")) == 1 and state(rows[1])[0] == "sending"
        assert state(rows[0]) == ("sent", "", 0)


@pytest.mark.django_db(transaction=True)
def test_dovecot_takes_it_and_refuses_in_it(
    dovecot: Dovecot, make_account: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipient that is refused behind Dovecot, in the middle of a queue: the session goes on."""
    counted = went_in_one_write(monkeypatch)
    dovecot.sink.refuse("RCPT", "550 5.1.1 No such user", containing="u2@")
    account = make_account(
        smtp_host="localhost",
        smtp_port=dovecot.submission_port,
        smtp_security="starttls",
        ca_certificate=dovecot.ca_pem,
    )
    rows = queue(account, 5)
    delivery.deliver_account(account.pk)
    assert [state(row)[:2] for row in rows] == [
        ("sent", ""),
        ("sent", ""),
        ("failed", "permanent"),
        *[("sent", "")] * 2,
    ]
    assert counted() == 2
    assert sorted(mail.rcpt_tos[0] for mail in dovecot.sink.mails()) == [f"u{n}@example.test" for n in (0, 1, 3, 4)]
