"""A database that ends connections while mail goes out: in claims, in joint commits, in outcomes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import claims, deliver, finalization, recovery
from outbox.delivery.database import Database, complete
from outbox.models import OutboxMessage
from tests.servers.ended_connections import connections_ended
from tests.servers.smtp import SmtpServer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="Only a server ends connections."),
]


def test_connections_that_are_ended_at_any_instant_lose_nothing_and_double_nothing(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    rows = [api.queue(account.pk, f"u{n}@example.test", "Hello", "A text.").data for n in range(60)]
    with connections_ended(60) as ended:
        for _ in range(60):
            with suppress(DatabaseError):
                deliver.deliver_account(account.pk)
            connections.close_all()  # as after each task
    later = timezone.now() + timedelta(hours=1)
    recovery.recover(later)
    deliver.deliver_account(account.pk, clock=lambda: later + timedelta(seconds=1))

    copies = Counter(mail.raw.split(b"\r\n", 1)[0].decode() for mail in server.mails())
    assert OutboxMessage.objects.count() == len(rows) and sum(ended) > 3
    for row in OutboxMessage.objects.all():
        taken = copies[f"Message-ID: <outbox-{row.pk}-0@prx-email.local>"]
        if row.hold == "uncertain":  # the connection was ended again in each try to take "dot" back
            assert taken <= 1, row.pk
        else:
            assert (row.status, row.hold, row.retries, taken) == ("sent", "", 0, 1), row.pk


def test_what_a_task_asks_once_its_connection_was_ended_is_asked_on_another() -> None:
    def end_own_connection() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async def main() -> int:
        with pytest.raises(DatabaseError):
            database.run(end_own_connection)
        return database.run(OutboxMessage.objects.count)

    database = Database()
    assert complete(main()) == 0


@pytest.mark.parametrize("step", ["finalize", "commit_dot", "extend"])
def test_a_transaction_that_slept_too_long_for_the_server_is_made_again(
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """A worker that was frozen in it: PostgreSQL ends what idles longer than idle_in_transaction_session_timeout."""
    server = smtp_server("tls")
    account = account_on(server)
    api.queue(account.pk, "u@example.test", "Hello", "A text.")
    slept = []
    owner = finalization if step == "finalize" else claims
    act = getattr(owner, step)

    def sleep_in_it(*args: object, **options: object) -> object:
        if slept:
            return act(*args, **options)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'")
            slept.append(time.sleep(0.2))
            return act(*args, **options)

    monkeypatch.setattr(owner, step, sleep_in_it)
    deliver.deliver_account(account.pk)
    later = timezone.now() + timedelta(minutes=1)
    deliver.deliver_account(account.pk, clock=lambda: later)

    sent = OutboxMessage.objects.get()
    assert slept and (sent.status, sent.hold, sent.retries, len(server.mails())) == ("sent", "", 0, 1)
