"""Mails that follow MAIL and RCPT unasked: a server that lets them, each order of its answers, what came of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mailbox.models import Account
from outbox import api
from outbox.eventloop import coroutines
from outbox.models import OutboxMessage
from outbox.smtp import pipelined
from tests.servers.ports import wait_until
from tests.servers.smtp import SinkMail, SmtpServer
from tests.servers.smtp_faults import Fault

Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]
BEFORE, BEHIND, ONE_WRITE = "answered before the mail is given", "answered behind it", "in one write"


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


def answers_come(when: str, server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the server has had its say on the second mail's MAIL and RCPT before any of that mail is given."""
    if when == ONE_WRITE:
        monkeypatch.setattr(coroutines.Alone, "here", lambda _: False)
        return
    if when == BEHIND:
        monkeypatch.setattr(pipelined.OneTripConversation, "_hear_meanwhile", lambda *_, **__: iter(()))
        return
    real = pipelined.OneTripConversation._hear_meanwhile

    def hear(*args: Any, **options: Any) -> Any:
        wait_until(lambda: server.has_answered("RCPT", 2), seconds=20, what="the answers to MAIL and RCPT")
        return real(*args, **options)

    monkeypatch.setattr(pipelined.OneTripConversation, "_hear_meanwhile", hear)


def went_unasked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    count: list[object] = []
    real = pipelined.OneTripConversation._give_and_hear

    def counted(self: object, *args: object) -> object:
        count.append(args)
        return real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(pipelined.OneTripConversation, "_give_and_hear", counted)
    return lambda: len(count)


def state(row: OutboxMessage) -> tuple[str, str, int]:
    row.refresh_from_db()
    return row.status, row.hold, row.retries
