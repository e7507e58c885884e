"""Tasks of one event loop: who waits for a server holds up nobody, and writes share a commit."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from django.db import OperationalError, connection, connections

from mailbox.db import shared_commit
from outbox.delivery.database import Database, Write, complete
from outbox.delivery.task_loop import TaskLoop
from outbox.models import DeliveryCall
from outbox.smtp.replies import MAX_REPLY_BYTES
from outbox.smtp.transport import Lost, Wire

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
        log.append(await Wire(silent[0]).ready(time.monotonic() + 30))

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


def test_a_server_that_sends_octet_by_octet_without_end_holds_up_nobody() -> None:
    class Endless:
        def setblocking(self, _flag: bool) -> None: ...

        def recv(self, _most: int) -> bytes:
            return b"2"

    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def reads() -> None:
        beside = asyncio.create_task(others())
        with pytest.raises(Lost, match="does not end"):
            await Wire(cast(socket.socket, Endless())).read_reply(60)
        beside.cancel()

    complete(reads())
    assert turns >= MAX_REPLY_BYTES / 16


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite locks no rows.")
def test_a_row_that_a_stopped_process_keeps_locked_holds_up_the_tasks_for_a_second_and_not_for_ten() -> None:
    tasks, found = TaskLoop("test"), list[object]()

    def limit() -> object:
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            return cursor.fetchone()

    async def asks(database: Database) -> None:
        found.append(database.run(limit))
        found.append(await database.write(limit))

    tasks.begin(asks)
    assert ended(no_thread_is_left) and found == [("1s",)] * 2
    assert limit() == ("10s",)


def test_what_is_not_ready_in_time_is_told_so() -> None:
    silent = socket.socketpair()

    async def waits() -> bool:
        return await Wire(silent[0]).ready(time.monotonic() + 0.05)

    assert complete(waits()) is False


def test_what_came_in_time_is_found_behind_the_deadline_as_after_a_stop_of_this_process() -> None:
    server, ours = socket.socketpair()

    async def asks() -> list[object]:
        wire = Wire(ours)
        await wire.send(b"NOOP\r\n", 30)
        server.send(b"250 in time\r\n")
        is_there = await wire.has_line(time.monotonic() - 1)
        return [is_there, str(await wire.read_reply(-1))]

    assert complete(asks()) == [True, "250 in time"]


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
def written_together(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each task gets, when all hand in their writes at one time."""
    database = Database()

    async def main() -> list[Any]:
        return list(await asyncio.gather(*(database.write(act) for act in acts), return_exceptions=True))

    return complete(main())


def refuse() -> None:
    raise OperationalError("this one only")


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many writes each transaction held that was tried."""
    found, real = list[int](), shared_commit._write

    def seen(batch: Sequence[Write]) -> None:
        found.append(len(batch))
        real(batch)

    monkeypatch.setattr(shared_commit, "_write", seen)
    return found


def test_what_is_handed_in_at_one_time_is_one_transaction_and_each_task_gets_its_answer(
    transactions: list[int],
) -> None:
    assert written_together([row(pk) for pk in range(100, 106)]) == list(range(100, 106)) and transactions == [6]
    assert DeliveryCall.objects.filter(pk__gte=100).count() == 6


def test_no_transaction_holds_more_than_its_most(transactions: list[int]) -> None:
    assert written_together([row(pk) for pk in range(100, 140)]) == list(range(100, 140)) and transactions == [32, 8]


def test_what_servers_answered_at_one_time_shares_a_commit(transactions: list[int]) -> None:
    database, pairs = Database(), [socket.socketpair() for _ in range(3)]

    async def answered(pk: int, sock: socket.socket) -> int:
        await Wire(sock).read_reply(30)
        return await database.write(row(pk))

    async def main() -> list[int]:
        waiting = [asyncio.create_task(answered(100 + n, pair[0])) for n, pair in enumerate(pairs)]
        await asyncio.sleep(0)
        for pair in pairs:
            pair[1].send(b"250 ok\r\n")
        return list(await asyncio.gather(*waiting))

    assert complete(main()) == [100, 101, 102] and transactions == [3]


def test_a_write_that_fails_fails_nobody_else() -> None:
    answers = written_together([row(200), refuse, row(201)])
    assert answers[0] == 200 and answers[2] == 201 and isinstance(answers[1], OperationalError)
    assert DeliveryCall.objects.filter(pk__gte=200).count() == 2


def test_a_write_that_fails_in_the_middle_writes_nothing() -> None:
    def half() -> None:
        row(300)()
        refuse()

    database = Database()
    with pytest.raises(OperationalError):
        complete(database.write(half))
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
        complete(main())
    assert log == ["given back"]


def test_a_signal_cancels_who_waits_for_a_server_who_may_still_write() -> None:
    silent, database, log = socket.socketpair(), Database(), list[str]()

    def stop(_number: int, _frame: object) -> None:
        raise Stop

    async def waits() -> None:
        try:
            await Wire(silent[0]).ready(time.monotonic() + 30)
        finally:
            log.append(await database.write(lambda: "given back"))

    async def main() -> None:
        waiting = asyncio.create_task(waits())
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGUSR1)
        await waiting

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(Stop):
            complete(main())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert log == ["given back"]


def test_a_task_asks_by_its_threads_own_connection_beside_an_event_loop_too() -> None:
    database = Database()

    async def main() -> list[bool]:
        in_write = await database.write(lambda: connections["default"] is own)
        return [in_write, database.run(lambda: connections["default"] is own)]

    own = connections["default"]
    assert complete(main()) == [True, True]
