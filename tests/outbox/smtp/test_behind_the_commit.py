"""Between the commit of "dot" and the end of the mail nothing is done: each moment there may make a question."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from mailbox.db import shared_commit
from mailbox.models import Transport
from outbox.delivery import deliver, finalization
from outbox.delivery.database import Database, complete
from outbox.delivery.sender import Sender
from outbox.models import OutboxMessage
from outbox.smtp.data_phase import DataPhase
from tests.outbox.smtp.pipelined import Accounts, Start, queue, state

pytestmark = [pytest.mark.wire, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits")]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a worker does, in order: statements, commits (noted when they are done), and the beginning of the rest."""
    found: list[str] = []

    def note(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def noted(*arguments: Any, **options: Any) -> Any:
            found.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, noted)

    def commit(batch: Any) -> None:
        real_commit(batch)
        found.append("commit")

    def statement(execute: Any, *arguments: Any) -> Any:
        found.append("statement")
        return execute(*arguments)

    real_commit = shared_commit.commit
    monkeypatch.setattr(shared_commit, "commit", commit)
    for owner, name in ((DataPhase, "_write_end"), (Sender, "prepare_following"), (finalization, "log_attempt")):
        note(owner, name)
    with connection.execute_wrapper(statement):
        yield found


def test_neither_log_nor_statement_is_between_the_commit_and_the_end(
    account_on: Accounts, smtp_server: Start, steps: list[str]
) -> None:
    account = account_on(smtp_server("tls", pipelining=True))
    Transport.objects.filter(pk=account.smtp_id).update(failing_since=timezone.now())
    rows = queue(account)
    steps.clear()
    deliver.deliver_account(account.pk)

    assert [state(row) for row in rows] == [("sent", "", 0)] * 3 and steps.count("log_attempt") == 3
    assert [steps[place - 1] for place, step in enumerate(steps) if step == "_write_end"] == ["commit"] * 3
    assert Transport.objects.get(pk=account.smtp_id).failing_since is None


def test_mails_that_share_a_commit_all_end_before_anything_else_is_done(
    account_on: Accounts, smtp_server: Start, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, commit_dot = smtp_server("tls", pipelining=True), Sender.commit_dot
    accounts = [account_on(server) for _ in range(3)]
    for account in accounts:
        queue(account, 1)

    async def main() -> None:
        database, gate = Database(), asyncio.Barrier(len(accounts))

        async def at_one_time(*arguments: Any) -> None:
            await gate.wait()
            await commit_dot(*arguments)

        monkeypatch.setattr(Sender, "commit_dot", at_one_time)
        await asyncio.gather(*(deliver.deliver_due(database, account.pk) for account in accounts))

    complete(main())
    assert [row.status for row in OutboxMessage.objects.all()] == ["sent"] * 3
    first = steps.index("_write_end")
    assert steps[first - 1 : first + 3] == ["commit", *["_write_end"] * 3]
