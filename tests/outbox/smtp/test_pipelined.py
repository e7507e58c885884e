"""From a session's second mail on, the mail follows MAIL and RCPT unasked: what the answers and faults mean.

The answers to MAIL and RCPT come before the mail is given, while "data" is committed, or behind it; and where several
sessions share a thread, all goes in one write. Each is forced.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailbox.models import Account
from outbox import api
from outbox.delivery import claims, deliver
from outbox.models import OutboxMessage
from outbox.smtp import pipelined
from tests.outbox.smtp.pipelined import (
    BEFORE,
    BEHIND,
    ONE_WRITE,
    Accounts,
    Start,
    after_the_first,
    answers_come,
    fast_server,
    queue,
    state,
    went_unasked,
)
from tests.servers.dovecot import Dovecot
from tests.servers.smtp_faults import Drop, Fault, Raw, Reply, Silence, Surplus

in_database = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits")]
pytestmark = pytest.mark.wire


@pytest.fixture(params=[BEFORE, BEHIND, ONE_WRITE])
def when(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestInTheDatabase:
    pytestmark = in_database

    def test_the_second_mail_goes_unasked_and_data_is_committed_before_any_of_it(
        self, account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = fast_server(smtp_server)
        counted = went_unasked(monkeypatch)
        at_mail: list[set[int]] = []
        rows = queue(account_on(server))
        real = pipelined.OneTripConversation._give_and_hear

        def watched(self: object, *args: object) -> object:
            at_mail.append(set(OutboxMessage.objects.filter(data_at__isnull=False).values_list("pk", flat=True)))
            return real(self, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(pipelined.OneTripConversation, "_give_and_hear", watched)
        deliver.deliver_account(rows[0].account_id)

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
    @pytest.mark.parametrize("when", [BEHIND, ONE_WRITE])
    def test_a_connection_lost_behind_the_mail_asks_a_person(
        self,
        account_on: Accounts,
        smtp_server: Start,
        command: str,
        fault: Fault,
        when: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        server = fast_server(smtp_server)
        answers_come(when, server, monkeypatch)
        after_the_first(server, command, fault)
        rows = queue(account_on(server))

        deliver.deliver_account(rows[0].account_id)

        assert state(rows[0]) == ("sent", "", 0)
        assert state(rows[1]) == ("failed", "uncertain", 0)
        assert rows[1].attempts.get().phase == "data"
        server.accept()
        OutboxMessage.objects.filter(pk=rows[2].pk).update(next_attempt_at=rows[2].created_at)
        Account.objects.get().smtp.mark_signed_in()
        deliver.deliver_account(rows[0].account_id)
        assert state(rows[2]) == ("sent", "", 0)
        assert max(server.copies().values()) == 1

    @pytest.mark.parametrize(
        "fault", [Drop(), Raw(b"\x00\xffgarbage\r\n"), Raw(b"25"), Raw(b"250-half\r\n"), Raw(b"250 " + b"x" * 200_000)]
    )
    @pytest.mark.parametrize("command", ["MAIL", "RCPT"])
    def test_a_connection_lost_before_the_mail_is_given_is_no_question(
        self, account_on: Accounts, smtp_server: Start, command: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = fast_server(smtp_server)
        counted = went_unasked(monkeypatch)
        answers_come(BEFORE, server, monkeypatch)
        after_the_first(server, command, fault)
        rows = queue(account_on(server))

        deliver.deliver_account(rows[0].account_id)

        assert [state(row) for row in rows] == [("sent", "", 0)] * 3
        assert server.connections == 2 and rows[1].attempts.count() == 1
        assert sorted(server.copies().values()) == [1, 1, 1] and counted() == 1  # the third

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
        when: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        server = fast_server(smtp_server)
        counted = went_unasked(monkeypatch)
        answers_come(when, server, monkeypatch)
        after_the_first(server, command, Reply(reply))
        rows = queue(account_on(server))

        deliver.deliver_account(rows[0].account_id)

        assert state(rows[1]) == ("failed", hold, 1)
        attempt = rows[1].attempts.get()
        assert (attempt.outcome, attempt.phase, rows[1].data_at) == (outcome, phase, None)
        assert reply in rows[1].error and attempt.reply_code == int(reply[:3])
        # RSET, and what follows is asked for first.
        assert state(rows[2]) == ("sent", "", 0) and server.connections == 1
        assert len(server.said("RSET")) == 1
        assert counted() == (0 if when == BEFORE and command in ("MAIL", "RCPT") else 1)
        server.accept()
        assert api.retry_outbox(rows[1].pk, now_anyway=True).ok
        assert sorted(server.copies().values()) == [1, 1, 1]

    @pytest.mark.parametrize("command", ["MAIL", "RCPT"])
    def test_a_server_that_has_had_enough_of_the_session_gets_the_mail_in_a_fresh_one(
        self, account_on: Accounts, smtp_server: Start, command: str, when: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = fast_server(smtp_server)
        answers_come(when, server, monkeypatch)
        after_the_first(server, command, Raw(b"421 4.7.0 Too many mails in this session\r\n"))
        rows = queue(account_on(server))

        deliver.deliver_account(rows[0].account_id)

        assert [state(row) for row in rows] == [("sent", "", 0)] * 3
        assert server.connections == 2 and sorted(server.copies().values()) == [1, 1, 1]
        assert rows[1].attempts.count() == 1

    @pytest.mark.parametrize("ended", ["before", "after"])
    def test_a_session_that_ended_before_the_mail_is_no_question(
        self, account_on: Accounts, smtp_server: Start, ended: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server closed before "data" of the second mail was committed, or just after."""
        server = fast_server(smtp_server)
        rows = queue(account_on(server))
        real, is_closed = claims.commit_data, list[bool]()

        def commit_data(claim: claims.Claim, *args: object, **options: object) -> bool:
            answer = real(claim, *args, **options)  # type: ignore[arg-type]
            if claim.outbox_id == rows[1].pk and not is_closed:
                is_closed.append(True)
                server.end_sessions()
            return answer

        if ended == "after":
            monkeypatch.setattr(claims, "commit_data", commit_data)
        else:
            real_look = pipelined.OneTripConversation._check_nothing_said

            def look(self: pipelined.OneTripConversation) -> object:
                if not is_closed and server.mails():
                    is_closed.append(True)
                    server.end_sessions()
                return real_look(self)

            monkeypatch.setattr(pipelined.OneTripConversation, "_check_nothing_said", look)

        deliver.deliver_account(rows[0].account_id)

        assert is_closed and [state(row) for row in rows] == [("sent", "", 0)] * 3
        assert server.connections == 2 and sorted(server.copies().values()) == [1, 1, 1]
        assert rows[1].attempts.count() == 1

    def test_a_word_that_nobody_asked_for_makes_nothing_sent_that_is_not(
        self, account_on: Accounts, smtp_server: Start, when: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its answers are moved by one: what stands for "taken" is the answer to RCPT, and one is left over."""
        server = fast_server(smtp_server)
        answers_come(when, server, monkeypatch)
        rows = queue(account_on(server), 2)
        after_the_first(server, "MAIL", Raw(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok\r\n552 5.2.2 Full\r\n"))
        deliver.deliver_account(rows[0].account_id)
        assert state(rows[1]) == (("sent", "", 0) if when == BEFORE else ("failed", "uncertain", 0))
        assert len(server.mails()) == (2 if when == BEFORE else 1)

    @pytest.mark.parametrize("command", ["MAIL", "RCPT"])
    @pytest.mark.parametrize("word", [b"354 Go ahead", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Taken"])
    def test_answers_that_are_none_before_the_mail_is_given_lead_to_a_fresh_session(
        self, account_on: Accounts, smtp_server: Start, command: str, word: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is taken for "taken" would be there before the mail."""
        server = fast_server(smtp_server)
        answers_come(BEFORE, server, monkeypatch)
        rows = queue(account_on(server), 2)
        after_the_first(server, command, Reply(word.decode().replace("\r", "")) if b"354" in word else Surplus(word))
        deliver.deliver_account(rows[0].account_id)
        assert [state(row) for row in rows] == [("sent", "", 0)] * 2
        assert server.connections == 2 and sorted(server.copies().values()) == [1, 1]

    def test_a_word_that_came_while_data_was_committed_is_no_answer_to_what_was_not_said_yet(
        self, account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = fast_server(smtp_server)
        answers_come(ONE_WRITE, server, monkeypatch)
        rows, real, said = queue(account_on(server), 2), claims.commit_data, list[bool]()

        def commit_data(claim: claims.Claim, *args: object, **options: object) -> bool:
            if claim.outbox_id == rows[1].pk and not said:
                said.append(True)
                server.say_unasked(b"250 2.0.0 Are you still there?\r\n")
            return real(claim, *args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(claims, "commit_data", commit_data)
        deliver.deliver_account(rows[0].account_id)
        assert said and [state(row) for row in rows] == [("sent", "", 0)] * 2
        assert server.connections == 2 and sorted(server.copies().values()) == [1, 1]

    def test_of_a_claim_that_was_lost_the_server_is_given_nothing(
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
        deliver.deliver_account(rows[0].account_id)
        assert len(server.said("BDAT")) == 1 and state(rows[1])[0] == "sending"
        assert state(rows[0]) == ("sent", "", 0) and len(server.mails()) == 1


@pytest.mark.django_db(transaction=True)
def test_dovecot_takes_it_and_refuses_in_it(
    dovecot: Dovecot, make_account: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipient that is refused behind Dovecot, in the middle of a queue: the session goes on."""
    counted = went_unasked(monkeypatch)
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
    assert counted() in (1, 2)  # the refusal came before the third mail was given, or behind it
    assert sorted(mail.rcpt_tos[0] for mail in dovecot.sink.mails()) == [f"u{n}@example.test" for n in (0, 1, 3, 4)]
