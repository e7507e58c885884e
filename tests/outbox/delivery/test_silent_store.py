"""A raw store on another machine that does not answer: only the mail that it holds waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from mailbox.models import RawMessage
from mailbox.storage import durable_files
from outbox.delivery import deliver
from outbox.delivery.database import Database, complete
from outbox.models import OutboxMessage
from tests.outbox.delivery.queued_mails import Accounts, Start, in_thread, queued
from tests.servers.ports import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
PATIENCE = 60  # seconds; a test that needs them has failed


class SilentStore:
    """Silent about one mail until `answer` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.segment, self.is_asked, self.answer = "", threading.Event(), threading.Event()
        self.answered_in_time = True
        storage = durable_files.raw_storage()
        read: Callable[[str, int, int], bytes] = storage.read_part  # type: ignore[attr-defined]

        def silent(name: str, offset: int, length: int) -> bytes:
            if name == self.segment:
                self.is_asked.set()
                self.answered_in_time = self.answer.wait(PATIENCE) and self.answered_in_time
            return read(name, offset, length)

        monkeypatch.setattr(storage, "copied_from", 0)  # as one on S3
        monkeypatch.setattr(storage, "read_part", silent)

    def hold(self, row: OutboxMessage) -> None:
        self.segment = RawMessage.objects.get(digest=row.mime_digest).segment


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> SilentStore:
    settings.DATA_DIR = tmp_path  # no copies of an earlier test
    return SilentStore(monkeypatch)


def test_mail_of_another_account_goes_out_meanwhile(
    account_on: Accounts, smtp_server: Start, store: SilentStore
) -> None:
    waiting, other = (account_on(smtp_server("tls")) for _ in range(2))
    store.hold(queued(waiting))
    queued(other)

    async def when_the_other_is_sent(database: Database) -> None:
        await deliver.deliver_due(database, other.pk)
        store.answer.set()

    async def both() -> None:
        database = Database()
        await asyncio.gather(deliver.deliver_due(database, waiting.pk), when_the_other_is_sent(database))

    complete(both())
    assert store.is_asked.is_set() and store.answered_in_time
    assert list(OutboxMessage.objects.values_list("status", flat=True)) == ["sent"] * 2


def test_what_came_of_the_mail_before_is_saved_meanwhile(
    account_on: Accounts, smtp_server: Start, store: SilentStore
) -> None:
    account = account_on(smtp_server("tls"))
    first = queued(account)
    store.hold(queued(account, "eve@example.test"))

    def answer_when_the_first_is_sent() -> None:
        wait_until(
            lambda: OutboxMessage.objects.filter(pk=first.pk, status="sent").exists(),
            seconds=PATIENCE,
            what="the first",
        )
        store.answer.set()

    watcher = in_thread(answer_when_the_first_is_sent)
    deliver.deliver_account(account.pk)
    watcher.join(PATIENCE)
    assert store.is_asked.is_set() and store.answered_in_time
    assert list(OutboxMessage.objects.values_list("status", flat=True)) == ["sent"] * 2
