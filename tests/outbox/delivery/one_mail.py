"""One mail that was given to a server, once."""

from __future__ import annotations

from collections.abc import Callable

from mailbox.models import Account
from outbox import api
from outbox.models import OutboxMessage
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Drop, Raw, Silence

Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]
BEFORE_DATA = ["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT"]
LOST = [
    Drop(),
    Silence(),
    Raw(b"\x00\xffgarbage\r\n"),
    Raw(b"25"),
    Raw(b"250-half of\r\n"),
    Raw(b"250 2.0.0 no line end"),
]


def sent_row(account: Account, **changes: str) -> OutboxMessage:
    api.send(account.pk, changes.get("to", "bob@example.test"), "Hello", "A text.")
    return OutboxMessage.objects.get()
