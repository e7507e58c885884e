"""Tasks of one event loop beside one database thread: who waits holds up nobody, writes share a commit."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import OperationalError, connection

from outbox.delivery import database as database_module
from outbox.delivery.database import Database, Write
from outbox.delivery.task_loop import TaskLoop
from outbox.models import DeliveryCall
from outbox.smtp.transport import Wire

pytestmark = pytest.mark.django_db(transaction=True)


def ended(done: Callable[[], bool], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.01)
    return done()


def no_thread_is_left() -> bool:
    return not any(thread.name.startswith("test") for thread in threading.enumerate())


def row(pk: int) -> Callable[[], int]:
    def act() -> int:
        DeliveryCall.objects.create(pk=pk)
        return pk

    return act


def test_a_silent_server_and_what_blocks_hold_up_nobody() -> None:
    tasks, silent, log, release = TaskLoop("test"), socket.socketpair(), list[object](), threading.Event()

    async def waits(_database: Database) -> None:
        log.append(await Wire(silent[0]).readable(time.monotonic() + 30))

    async def opens(_database: Database) -> None:
        log.append(await asyncio.to_thread(release.wait, 30))

    async def is_quick(database: Database) -> None:
        await asyncio.sleep(0.01)
        log.append(await database.write(lambda: threading.current_thread().name))

    for begin in (waits, opens, is_quick):
        tasks.begin(begin)
    assert ended(lambda: log == ["test"])
    release.set()
    silent[1].send(b"250 ok")
    assert ended(lambda: len(log) == 3) and log == ["test", True, True]
    assert ended(no_thread_is_left)


def test_what_is_not_ready_in_time_is_told_so() -> None:
    silent, database = socket.socketpair(), Database()

    async def waits() -> bool:
        return await Wire(silent[0]).readable(time.monotonic() + 0.05)

    assert database.complete(waits()) is False


def test_a_task_that_raises_ends_alone_and_the_threads_come_back_for_the_next() -> None:
    tasks, log = TaskLoop("test"), list[str]()

    async def fails(_database: Database) -> None:
        raise RuntimeError("a fault of ours")

    async def goes_on(_database: Database) -> None:
        await asyncio.sleep(0.05)
        log.append("on")

    tasks.begin(fails)
    tasks.begin(goes_on)
    assert ended(lambda: log == ["on"]) and ended(no_thread_is_left)
    tasks.begin(goes_on)
    assert ended(lambda: log == ["on", "on"]) and ended(no_thread_is_left)


# --- One transaction for what several tasks write ------------------------------------------------------------------
def written_while_another_is(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each task gets, when all hand in their writes while the database's thread is busy with another."""
    database, are_handed_in = Database(), threading.Event()

    async def main() -> list[Any]:
        first = asyncio.create_task(database.write(lambda: are_handed_in.wait(30)))
        others = [asyncio.create_task(database.write(act)) for act in acts]
        await asyncio.sleep(0)
        are_handed_in.set()
        assert await first
        return list(await asyncio.gather(*others, return_exceptions=True))

    return database.complete(main())


def refuse() -> None:
    raise OperationalError("this one only")


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many writes each transaction held that was tried."""
    found, real = list[int](), database_module._write

    def seen(batch: Sequence[Write]) -> None:
        found.append(len(batch))
        real(batch)

    monkeypatch.setattr(database_module, "_write", seen)
    return found


def test_what_gathers_while_another_commits_is_one_transaction_and_each_task_gets_its_answer(
    transactions: list[int],
) -> None:
    database, is_busy = Database(), threading.Event()

    async def main() -> list[int]:
        busy = asyncio.create_task(database.run(lambda: is_busy.wait(30)))
        others = [asyncio.create_task(database.write(row(pk))) for pk in range(100, 106)]
        await asyncio.sleep(0)
        is_busy.set()
        await busy
        return list(await asyncio.gather(*others))

    assert database.complete(main()) == list(range(100, 106)) and transactions == [6]
    assert DeliveryCall.objects.filter(pk__gte=100).count() == 6


def test_a_write_that_fails_fails_nobody_else() -> None:
    answers = written_while_another_is([row(200), refuse, row(201)])
    assert answers[0] == 200 and answers[2] == 201 and isinstance(answers[1], OperationalError)
    assert DeliveryCall.objects.filter(pk__gte=200).count() == 2


def test_a_write_that_fails_in_the_middle_writes_nothing() -> None:
    def half() -> None:
        row(300)()
        refuse()

    database = Database()
    with pytest.raises(OperationalError):
        database.complete(database.write(half))
    assert not DeliveryCall.objects.filter(pk=300).exists() and not connection.in_atomic_block


class Stop(SystemExit):
    """As a signal raises it in the thread that waits."""


def test_who_is_told_to_stop_cancels_the_task_which_may_still_write() -> None:
    database, log = Database(), list[str]()

    def stop() -> None:
        raise Stop

    async def main() -> None:
        try:
            await database.write(stop)
        finally:
            log.append(await database.write(lambda: "given back"))

    with pytest.raises(Stop):
        database.complete(main())
    assert log == ["given back"]


def test_a_stop_is_told_when_a_question_of_a_cancelled_task_is_answered_after_the_event_loop_has_ended() -> None:
    database = Database()

    def stop() -> None:
        raise Stop

    def answer_late() -> None:
        while not (database._loop and database._loop.is_closed()):
            time.sleep(0.001)

    async def main() -> None:
        await asyncio.gather(database.run(stop), database.run(answer_late))

    with pytest.raises(Stop):
        database.complete(main())
