"""A server says what nobody asked for: no mail counts as sent, or as refused, by a word that was not about it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from outbox.delivery import deliver
from outbox.delivery.attempt_watch import AttemptWatch, ClaimLost
from outbox.delivery.sender import SenderWatch
from outbox.retry.faults import Phase
from outbox.smtp.mail import Delivery
from outbox.smtp.mail_transaction import MailTransaction
from tests.outbox.smtp.pipelined import Accounts, Start, queue, state
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Raw, Reply, Surplus

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("short_waits"),
    pytest.mark.wire,
]
OFFERED = [{}, {"pipelining": True}]


@pytest.mark.parametrize("surplus", [b"250 2.0.0 Queued\r\n", b"550 5.7.1 Refused after all\r\n", b"4"], ids=repr)
@pytest.mark.parametrize("offered", OFFERED, ids=lambda offered: " ".join(offered) or "neither")
@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
@pytest.mark.in_part(3)
def test_a_yes_with_more_behind_it_is_a_question_and_the_next_mail_goes_in_a_fresh_session(
    account_on: Accounts, smtp_server: Start, offered: dict[str, bool], surplus: bytes, which: int
) -> None:
    """One of the two words is said of something else, and it may be the yes."""
    server = smtp_server("tls", **offered)
    server.on(".", Surplus(surplus), containing=f"u{which}@")
    rows = queue(account_on(server), 3)

    deliver.deliver_account(rows[0].account_id)

    states = [state(row) for row in rows]
    assert states.pop(which) == ("failed", "uncertain", 0) and states == [("sent", "", 0)] * 2
    assert server.connections == 2 and max(server.copies().values()) == 1


@pytest.mark.parametrize("said", [b"250 2.0.0 Queued\r\n", b"354 Once more\r\n", b"2"], ids=repr)
@pytest.mark.parametrize("lines", [1, 5000], ids=["small", "large"])
def test_a_yes_before_the_final_dot_is_none_and_the_mail_is_left_without_its_end(
    account_on: Accounts, smtp_server: Start, said: bytes, lines: int
) -> None:
    """Its own answer is a refusal, which would be read behind the yes."""
    server = smtp_server("tls", pipelining=True)
    server.on("DATA", Surplus(said), containing="DATA", times=2)
    server.on(".", Reply("550 5.7.1 Refused"))
    rows = queue(account_on(server), 1, ("x" * 60 + "\n") * lines)

    deliver.deliver_account(rows[0].account_id)

    assert state(rows[0]) == ("failed", "", 1) and server.mails() == []
    assert "." not in server.commands and rows[0].attempts.get().outcome == "transient"
    server.accept()
    deliver.deliver_account(rows[0].account_id, clock=lambda: timezone.now() + timedelta(minutes=10))
    assert state(rows[0])[0] == "sent", rows[0].error
    assert len(server.mails()) == 1


@pytest.mark.parametrize(
    ("said", "hold"), [("552 5.3.4 Too large", "permanent"), ("451 4.3.0 Disk full", ""), ("421 4.3.2 Closing", "")]
)
def test_a_refusal_before_the_final_dot_is_the_answer(
    account_on: Accounts, smtp_server: Start, said: str, hold: str
) -> None:
    server = smtp_server("tls", pipelining=True)
    server.on("DATA", Surplus(f"{said}\r\n".encode()), times=1)
    rows = queue(account_on(server), 1)

    deliver.deliver_account(rows[0].account_id)

    row = rows[0]
    row.refresh_from_db()
    assert (row.status, row.hold) == ("failed", hold) and row.error == said
    assert server.mails() == [] and "." not in server.commands


@pytest.mark.parametrize("offered", OFFERED, ids=lambda offered: " ".join(offered) or "neither")
@pytest.mark.parametrize("mails", [1, 2], ids=["before QUIT", "before the next mail"])
def test_a_refusal_that_nobody_asked_for_makes_the_mail_before_it_a_question(
    account_on: Accounts, smtp_server: Start, offered: dict[str, bool], mails: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A yes was read that was not about the mail, and the answer to the mail comes when it counts as sent."""
    server = smtp_server("tls", **offered)
    rows = queue(account_on(server), mails)
    refuse_late(server, monkeypatch)

    deliver.deliver_account(rows[0].account_id)

    rows[0].refresh_from_db()
    assert (rows[0].status, rows[0].hold, rows[0].retries, rows[0].sent_at) == ("failed", "uncertain", 0, None)
    assert "550 5.7.1 Refused after all" in rows[0].error
    assert rows[0].recipients.get().status == "waiting" and rows[0].attempts.get().outcome == "uncertain"
    assert [state(row) for row in rows[1:]] == [("sent", "", 0)] * (mails - 1)


LATE = b"550 5.7.1 Refused after all\r\n"


class Late:
    """Says a word on each connection just before the client's second command of a kind leaves."""

    def __init__(self, server: SmtpServer, monkeypatch: pytest.MonkeyPatch, command: str, word: bytes = LATE) -> None:
        self.server, self.word, self.command, self.left = server, word, command, 2
        self.real = MailTransaction._say
        late = self

        async def say(conversation: MailTransaction, *lines: str) -> None:
            if lines[0].startswith(late.command):
                late.left -= 1
                if late.left == 0:
                    late.server.say_unasked(late.word)
            await late.real(conversation, *lines)

        monkeypatch.setattr(MailTransaction, "_say", say)


@pytest.mark.parametrize(
    ("offered", "command", "own"),
    [
        *[({"pipelining": True}, "MAIL", own) for own in ("", "MAIL", "RCPT", "DATA")],
        *[({}, "MAIL", own) for own in ("", "MAIL")],
        *[({}, "RCPT", own) for own in ("", "RCPT")],
        *[({}, "DATA", own) for own in ("", "DATA")],
    ],
    ids=repr,
)
def test_a_refusal_that_comes_while_the_next_mail_is_said_is_about_the_mail_before(
    account_on: Accounts,
    smtp_server: Start,
    monkeypatch: pytest.MonkeyPatch,
    offered: dict[str, bool],
    command: str,
    own: str,
) -> None:
    """It is read as the answer to that command. `own`: what the server really refuses of the second mail."""
    server = smtp_server("tls", **offered)
    rows = queue(account_on(server), 2)
    late = Late(server, monkeypatch, command)
    if own:
        server.deliver = lambda _mail: server.refuse(own, "554 5.7.9 Not this one")

    deliver.deliver_account(rows[0].account_id)

    assert late.left <= 0 and state(rows[0]) == ("failed", "uncertain", 0) and "after all" in rows[0].error
    assert state(rows[1]) == (("failed", "permanent", 1) if own else ("sent", "", 0)), rows[1].error
    assert "after all" not in rows[1].error and max(server.copies().values()) == 1


@pytest.mark.parametrize("trouble", ["the database is away", "the claim is lost"])
def test_it_is_heard_although_the_next_mail_is_left_in_its_middle(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    server = smtp_server("tls", pipelining=True)
    rows, real = queue(account_on(server), 2), SenderWatch.before_dot

    async def before_dot(watch: SenderWatch, delivery: Delivery) -> None:
        if watch.claim.outbox_id == rows[0].pk or len(server.said("MAIL")) > 2:
            return await real(watch, delivery)
        await watch._sender.settle()
        server.say_unasked(LATE)
        raise ClaimLost if trouble == "the claim is lost" else OperationalError("database is locked")

    monkeypatch.setattr(SenderWatch, "before_dot", before_dot)
    deliver.deliver_account(rows[0].account_id)

    assert state(rows[0]) == ("failed", "uncertain", 0)
    assert state(rows[1]) == ("pending" if "database" in trouble else "sent", "", 0)


def test_half_a_word_keeps_nobody_who_leaves_a_mail_in_its_middle(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = smtp_server("tls", pipelining=True)
    rows = queue(account_on(server), 1)

    async def lost(_watch: AttemptWatch) -> None:
        raise ClaimLost

    async def before_dot(_watch: SenderWatch, _delivery: Delivery) -> None:
        server.say_unasked(b"4")
        monkeypatch.setattr(AttemptWatch, "waiting", lost)  # asked while the rest of the word is waited for
        raise OperationalError("database is locked")

    monkeypatch.setattr(SenderWatch, "before_dot", before_dot)
    deliver.deliver_account(rows[0].account_id)

    assert state(rows[0]) == ("pending", "", 0) and server.mails() == []


def refuse_late(server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the first mail is written down as sent, or just before the next is begun on its session."""
    real, said = MailTransaction._enter, list[object]()

    async def enter(self: MailTransaction, phase: Phase) -> None:
        if phase is Phase.ACCEPTED and not said:
            said.append(self)
            server.say_unasked(b"550 5.7.1 Refused after all\r\n")
        await real(self, phase)

    monkeypatch.setattr(MailTransaction, "_enter", enter)


@pytest.mark.parametrize("word", ["451 4.3.0 Busy", "421 4.4.2 Too slow", "503 5.5.1 What?", "550 5.7.1 Not this"])
@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("offered", OFFERED, ids=lambda offered: " ".join(offered) or "neither")
@pytest.mark.in_part(3)
def test_a_refusal_with_a_yes_behind_it_is_a_question_and_no_reason_to_send_again(
    account_on: Accounts, smtp_server: Start, offered: dict[str, bool], which: int, word: str
) -> None:
    """One of the two is not about this mail, and it was taken: by itself it would go out twice."""
    server = smtp_server("tls", **offered)
    answer = Raw(f"{word}\r\n250 2.0.0 Taken\r\n".encode(), keep_mail=True)
    server.on(".", answer, containing=f"u{which}@")
    rows = queue(account_on(server), 2)

    deliver.deliver_account(rows[0].account_id)

    assert state(rows[which]) == ("failed", "uncertain", 0) and word in rows[which].error
    assert state(rows[1 - which]) == ("sent", "", 0) and len(server.mails()) == 2


@pytest.mark.parametrize("behind", [b"421 4.7.0 Bye\r\n", b"42"], ids=["421", "half a line"])
@pytest.mark.parametrize("offered", OFFERED, ids=lambda offered: " ".join(offered) or "neither")
def test_a_refusal_with_the_end_of_the_session_behind_it_is_a_refusal(
    account_on: Accounts, smtp_server: Start, offered: dict[str, bool], behind: bytes
) -> None:
    server = smtp_server("tls", **offered)
    server.on(".", Raw(b"550 5.7.1 Not this\r\n" + behind), containing="u1@")
    rows = queue(account_on(server), 3)

    deliver.deliver_account(rows[0].account_id)

    assert [state(row) for row in rows] == [("sent", "", 0), ("failed", "permanent", 1), ("sent", "", 0)]
