"""A server says what nobody asked for: no mail counts as sent, or as refused, by a word that was not about it."""

from __future__ import annotations

import pytest

from outbox import beside, delivery
from outbox.smtp_mail import Mail
from tests.outbox.one_trip import Accounts, Start, queue, state
from tests.outbox.test_attack import in_thread
from tests.servers.ports import wait_until
from tests.servers.smtp_faults import Hold, Reply, Surplus

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

    delivery.deliver_account(rows[0].account_id)

    answering.join(20)
    assert [state(row) for row in rows] == [("sent", "", 0), ("failed", "permanent", 1)]
    assert len(server.mails()) == 1 and rows[1].attempts.count() == 1
