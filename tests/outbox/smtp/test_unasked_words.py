"""A server says what nobody asked for: no mail counts as sent, or as refused, by a word that was not about it."""

from __future__ import annotations

import pytest

from outbox.delivery import beside, deliver
from outbox.smtp.mail_transaction import Mail
from tests.outbox.delivery.test_attack import in_thread
from tests.outbox.smtp.pipelined import Accounts, Start, queue, state
from tests.servers.ports import wait_until
from tests.servers.smtp_faults import Hold, Raw, Reply, Surplus

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("short_waits"),
    pytest.mark.wire,
]
OFFERED = [{}, {"pipelining": True}, {"chunking": True}, {"pipelining": True, "chunking": True}]


@pytest.mark.parametrize("offered", OFFERED, ids=lambda offered: " ".join(offered) or "neither")
def test_a_word_behind_the_answer_to_one_mail_does_not_make_the_next_one_sent(
    account_on: Accounts, smtp_server: Start, offered: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers moved by one: that to RCPT, which takes its time, would be read behind the mail, and say "taken"."""
    server, slow, given = smtp_server("tls", **offered), Hold(), list[object]()
    server.on(".", Surplus(b"250 2.0.0 Queued\r\n"), containing="u0@")
    server.on("RCPT", slow, containing="u1@")
    server.on(".", Reply("552 5.2.2 Full"), containing="u1@")
    real = beside.Turn.given

    def watched(self: beside.Turn) -> Mail | None:
        given.append(self)
        return real(self)

    def answer_in_the_end() -> None:
        wait_until(lambda: len(given) == 2 or server.connections == 2, seconds=20, what="the second mail")
        slow.release()

    monkeypatch.setattr(beside.Turn, "given", watched)
    rows = queue(account_on(server), 2)
    answering = in_thread(answer_in_the_end)

    deliver.deliver_account(rows[0].account_id)

    answering.join(20)
    assert [state(row) for row in rows] == [("sent", "", 0), ("failed", "permanent", 1)]
    assert len(server.mails()) == 1 and rows[1].attempts.count() == 1


@pytest.mark.parametrize("word", ["451 4.3.0 Busy", "421 4.4.2 Too slow", "503 5.5.1 What?", "550 5.7.1 Not this"])
@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("offered", OFFERED, ids=lambda offered: " ".join(offered) or "neither")
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
