"""Mails that wait for a worker, and what may go wrong around it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection, connections

from mailbox.models import Account
from outbox import api
from outbox.models import OutboxMessage
from tests.servers.smtp import SmtpServer

Start = Callable[..., SmtpServer]


Accounts = Callable[..., Account]


def queued(account: Account, to: str = "bob@example.test") -> OutboxMessage:
    response = api.queue(account.pk, to, "Hello", "A text.")
    assert response.ok and response.data, response
    return OutboxMessage.objects.get(pk=response.data.outbox_id)


def states() -> list[tuple[str, str]]:
    return list(OutboxMessage.objects.order_by("pk").values_list("status", "hold"))


@contextmanager
def refused_by_the_database(sql_part: str, times: int) -> Iterator[list[str]]:
    """The next `times` statements that hold this text fail as a locked or lost database does."""
    refused: list[str] = []

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql_part in sql and len(refused) < times:
            refused.append(sql)
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield refused


def in_thread(act: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        act()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
