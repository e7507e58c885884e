"""Mails in a queue, a fault that meets the second of them, what came of each."""

from __future__ import annotations

from collections.abc import Callable

from mailbox.models import Account
from outbox import api
from outbox.models import OutboxMessage
from tests.servers.smtp import SinkMail, SmtpServer
from tests.servers.smtp_faults import Fault

Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]


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


def state(row: OutboxMessage) -> tuple[str, str, int]:
    row.refresh_from_db()
    return row.status, row.hold, row.retries
