"""The end of a mail: behind the body, after the commit of "dot", in one write; and what is said in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection

from outbox import api
from outbox.delivery import attempt_watch, claims, deliver
from outbox.delivery.sender import Sender
from outbox.models import OutboxMessage
from outbox.smtp import transport
from outbox.smtp.data_phase import DataPhase
from outbox.smtp.octets import body_and_end, dot_stuffed
from outbox.smtp.transport import Wire
from tests.outbox.smtp.pipelined import Accounts, Start, queue, state
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Hold, Reply

in_database = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits")]
pytestmark = pytest.mark.wire
LINE = "x" * 70 + "\n"


def fast_server(start: Start) -> SmtpServer:
    return start("tls", pipelining=True)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What the session writes, in order, and "COMMIT" where "dot" is committed."""
    found: list[bytes] = []
    send, commit = Wire.send, claims.commit_dot

    async def noted_send(self: Wire, octets: bytes, *arguments: Any, **options: Any) -> None:
        found.append(bytes(octets))
        await send(self, octets, *arguments, **options)

    def noted_commit(*arguments: Any, **options: Any) -> bool:
        found.append(b"COMMIT")
        return commit(*arguments, **options)

    monkeypatch.setattr(Wire, "send", noted_send)
    monkeypatch.setattr(claims, "commit_dot", noted_commit)
    yield found


@pytest.mark.parametrize(
    ("content", "end"),
    [
        (b"A: b\r\n\r\nLast", b"Last\r\n.\r\n"),
        (b"A: b\r\n\r\nLast\r\n", b"Last\r\n.\r\n"),
        (b"A: b\r\n\r\n.\r\n", b"..\r\n.\r\n"),
        (b"A: b\r\n\r\n\r\n", b"\r\n.\r\n"),
        (b"One line", b"One line\r\n.\r\n"),
        (b"", b"\r\n.\r\n"),
    ],
)
def test_the_end_of_a_mail_is_its_last_line_with_the_dot(content: bytes, end: bytes) -> None:
    body, found = body_and_end(dot_stuffed(content))
    assert found == end and bytes(body) + found == dot_stuffed(content) + b".\r\n"


class TestInTheDatabase:
    pytestmark = in_database

    @pytest.mark.parametrize("lines", [1, 2000], ids=["small", "large"])
    def test_a_mail_is_two_round_trips_and_dot_is_committed_behind_the_body_and_before_the_end(
        self, account_on: Accounts, smtp_server: Start, writes: list[bytes], lines: int
    ) -> None:
        server = fast_server(smtp_server)
        rows = queue(account_on(server), text=LINE * lines)
        deliver.deliver_account(rows[0].account_id)

        assert [state(row) for row in rows] == [("sent", "", 0)] * 3 and server.connections == 1
        begins = [number for number, each in enumerate(writes) if each.startswith(b"MAIL")]
        assert len(begins) == 3
        for begin, end in zip(begins, [*begins[1:], len(writes) - 1], strict=True):
            envelope, *body, commit, last = writes[begin:end]
            assert [line[:4] for line in envelope.splitlines()] == [b"MAIL", b"RCPT", b"DATA"]
            assert commit == b"COMMIT" and last.endswith(b"\r\n.\r\n") and last.count(b"\r\n") == 2
            assert not any(each.endswith(b"\r\n.\r\n") for each in body) and b"Message-ID" in body[0]
        attempt = rows[1].attempts.get()
        assert [entry["phase"] for entry in attempt.transcript] == ["mail", "rcpt", "data", "dot"]
        assert (attempt.phase, attempt.outcome) == ("accepted", "accepted") and server.said("RSET") == []

    def test_dot_is_committed_of_no_two_rows_at_a_time(
        self, account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, at_the_end = DataPhase._write_end, list[set[int]]()

        def look() -> None:
            at_the_end.append(set(OutboxMessage.objects.filter(data_at__isnull=False).values_list("pk", flat=True)))
            connection.close()

        async def write_end(self: DataPhase, octets: bytes) -> None:
            await asyncio.to_thread(look)
            await real(self, octets)

        rows = queue(account_on(fast_server(smtp_server)))
        monkeypatch.setattr(DataPhase, "_write_end", write_end)
        deliver.deliver_account(rows[0].account_id)
        assert at_the_end[0] == {rows[0].pk} and [len(each) for each in at_the_end] == [1, 1, 1]

    @pytest.mark.parametrize("takes_data", [False, True], ids=["503 to DATA", "354 to DATA"])
    def test_a_mail_whose_recipients_are_all_refused_ends_with_a_lone_dot_where_the_server_waits_for_it(
        self, account_on: Accounts, smtp_server: Start, takes_data: bool, writes: list[bytes]
    ) -> None:
        server = smtp_server("tls", pipelining=True, data_without_recipients=takes_data)
        server.on("RCPT", Reply("550 5.1.1 No such user"), containing="gone")
        account = account_on(server)
        assert api.queue(account.pk, "gone1@example.test, gone2@example.test", "Mail", "A text.").ok
        assert api.queue(account.pk, "ann@example.test", "Mail", "A text.").ok
        deliver.deliver_account(account.pk)

        refused, sent = OutboxMessage.objects.order_by("pk")
        assert state(refused) == ("failed", "permanent", 1) and state(sent) == ("sent", "", 0)
        assert (b".\r\n" in writes) is takes_data and server.connections == 1
        assert [mail.rcpt_tos for mail in server.mails()] == [["ann@example.test"]]

    @pytest.mark.parametrize("when", ["before the commit", "after the commit"])
    def test_a_session_that_ended_before_the_end_of_the_mail_is_no_question(
        self, account_on: Accounts, smtp_server: Start, when: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = fast_server(smtp_server)
        rows = queue(account_on(server))
        real, is_closed = claims.commit_dot, list[bool]()

        def commit_dot(claim: claims.Claim, *args: Any, **options: Any) -> bool:
            is_second = claim.outbox_id == rows[1].pk and not is_closed
            answer = when == "before the commit" or real(claim, *args, **options)
            if is_second:
                is_closed.append(True)
                server.end_sessions()
            return answer if when == "after the commit" else real(claim, *args, **options)

        monkeypatch.setattr(claims, "commit_dot", commit_dot)
        deliver.deliver_account(rows[0].account_id)

        assert is_closed and [state(row) for row in rows] == [("sent", "", 0)] * 3
        assert server.connections == 2 and sorted(server.copies().values()) == [1, 1, 1]
        assert rows[1].attempts.count() == 1

    def test_a_word_that_came_while_dot_was_committed_is_no_answer_to_the_mail(
        self, account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = fast_server(smtp_server)
        rows, real, said = queue(account_on(server), 2), claims.commit_dot, list[bool]()

        def commit_dot(claim: claims.Claim, *args: Any, **options: Any) -> bool:
            if claim.outbox_id == rows[1].pk and not said:
                said.append(True)
                server.say_unasked(b"250 2.0.0 Are you still there?\r\n")
            return real(claim, *args, **options)

        monkeypatch.setattr(claims, "commit_dot", commit_dot)
        deliver.deliver_account(rows[0].account_id)
        assert said and [state(row) for row in rows] == [("sent", "", 0)] * 2
        assert server.connections == 2 and sorted(server.copies().values()) == [1, 1]

    @pytest.mark.parametrize("trouble", ["the claim is lost", "the database refuses"])
    def test_without_the_commit_the_session_is_left_without_a_word(
        self,
        account_on: Accounts,
        smtp_server: Start,
        trouble: str,
        writes: list[bytes],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        server = fast_server(smtp_server)
        rows = queue(account_on(server), 2)
        real = claims.commit_dot

        def commit_dot(claim: claims.Claim, *args: Any, **options: Any) -> bool:
            if claim.outbox_id == rows[1].pk and trouble == "the claim is lost":
                OutboxMessage.objects.filter(pk=claim.outbox_id).update(claim_token="another")
            elif claim.outbox_id == rows[1].pk:
                raise OperationalError("away")
            return real(claim, *args, **options)

        monkeypatch.setattr(claims, "commit_dot", commit_dot)
        deliver.deliver_account(rows[0].account_id)
        assert state(rows[0]) == ("sent", "", 0) and len(server.mails()) == 1
        assert state(rows[1])[0] == ("sending" if trouble == "the claim is lost" else "pending")
        assert server.commands[-1] == "DATA" and b"Message-ID" in writes[-1 if writes[-1] != b"COMMIT" else -2]

    def test_a_mail_that_was_given_back_while_the_server_kept_us_waiting_is_not_begun_behind_the_answer(
        self, account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is claimed once more as another attempt, whose answers were those to the mail that was begun."""
        server, hold = fast_server(smtp_server), Hold()
        server.on(".", hold, times=1)
        rows, real = queue(account_on(server), 3), Sender.give_back_following
        prepare = Sender.prepare_following

        async def prepare_then_stall(self: Sender) -> None:
            await prepare(self)
            monkeypatch.setattr(attempt_watch, "STALL_SECONDS", 0.0)
            monkeypatch.setattr(transport, "TICK_SECONDS", 0.01)

        async def give_back(self: Sender) -> None:
            await real(self)
            hold.release()

        monkeypatch.setattr(Sender, "prepare_following", prepare_then_stall)
        monkeypatch.setattr(Sender, "give_back_following", give_back)
        deliver.deliver_account(rows[0].account_id)
        assert [state(row)[0] for row in rows] == ["sent", "sent", "sent"] and len(server.mails()) == 3
        assert sum(said.startswith("MAIL") for said in server.commands) == 3 and server.connections == 1
