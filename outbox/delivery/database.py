"""The database of an event loop: what its tasks ask is done at once, what they write is committed together.

A statement takes a fraction of a millisecond and a commit a wait for the disk, so the loop does both itself: a thread
beside it would cost each mail more in waking up than it gives, as nearly all that a mail waits for here is its own
commit. What is longer (names, connecting, files) has threads: `smtp.blocking_calls`. SQLite has one writer, and a disk
takes as long for one mail as for ten; so a write waits for some turns of the loop, in which other tasks hand in theirs.
A task gets its own answer, and when a transaction fails, each of its writes is tried alone, so that nobody fails for
another's sake. No transaction is open across an await.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connection, transaction

from mailbox.db.errors import DATABASE_TROUBLE
from outbox.delivery import sqlite_write_lock

T = TypeVar("T")
MOST_AT_ONCE = 32  # writes of a transaction, which is to stay far below 250 ms
# What arrived on a socket is a write three turns later: the socket's, the future's, the task's. Measured with five
# accounts: 1.2 writes share a commit without waiting, 2.2 with three turns, 3 with six.
GATHERING_TURNS = 4


@contextmanager
def outside_of_the_loop() -> Iterator[None]:
    """Django keeps a connection for each thread, but beside a running event loop one for each task, and refuses to be
    asked there. Nothing awaits in here, so for Django there is no loop."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in this thread; what it returns. Raises what it raises.

    An exception that is raised in this thread from outside (SystemExit of a signal, say) cancels the coroutine, which
    may still write, and is raised when that has ended.
    """
    with outside_of_the_loop():  # whoever calls may have one
        return asyncio.run(coroutine)


@dataclass(eq=False)
class Write:
    """What a task hands in, and once it is done, what came of it."""

    act: Callable[[], Any]
    future: asyncio.Future[Any]
    answer: Any = None
    error: Exception | None = None

    def tell(self) -> None:
        if self.future.done():  # its task was told to stop
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)


class Database:
    """That of the tasks of one event loop, which `complete` runs."""

    def __init__(self) -> None:
        self._gathered: deque[Write] = deque()

    def run(self, act: Callable[[], T]) -> T:
        """Ask this at once, by itself; its answer. Raises what it raises."""
        with outside_of_the_loop():
            try:
                return act()
            except Exception as error:
                _forget_if_broken(error)
                raise

    async def write(self, act: Callable[[], T]) -> T:
        """Run this in a transaction, perhaps with other tasks' writes; its answer.

        Raises what it or the commit raises; then nothing of it is written, unless the connection was lost in the commit
        itself.
        """
        loop = asyncio.get_running_loop()
        write = Write(act, loop.create_future())
        self._gathered.append(write)
        if len(self._gathered) == 1:
            loop.call_soon(self._gather, GATHERING_TURNS)
        answer: T = await write.future
        return answer

    def _gather(self, turns: int) -> None:
        """A callback and no task: who is told to stop cancels all tasks, and each may still write."""
        if turns and len(self._gathered) < MOST_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._gather, turns - 1)
        else:
            self._commit_gathered()

    def _commit_gathered(self) -> None:
        batch = [self._gathered.popleft() for _ in range(min(MOST_AT_ONCE, len(self._gathered)))]
        try:
            with outside_of_the_loop():
                _commit(batch)  # what is raised from outside cancels the tasks that wait for it
            for write in batch:
                write.tell()
        finally:
            if self._gathered:
                asyncio.get_running_loop().call_soon(self._gather, 0)


def _commit(batch: Sequence[Write]) -> None:
    try:
        _write(batch)
    except Exception as error:
        _forget_if_broken(error)
        if len(batch) == 1:
            batch[0].error = error
            return
        for write in batch:
            _write_alone(write)


def _write(batch: Sequence[Write]) -> None:
    with sqlite_write_lock.WriteTurn(), transaction.atomic():
        answers = [write.act() for write in batch]
    for write, answer in zip(batch, answers, strict=True):
        write.answer, write.error = answer, None


def _write_alone(write: Write) -> None:
    try:
        _write([write])
    except Exception as error:
        write.error = error
        _forget_if_broken(error)


def _forget_if_broken(error: Exception) -> None:
    """It may be the connection that is broken, and then answers nothing any more: what comes next opens another."""
    if isinstance(error, DATABASE_TROUBLE):
        connection.close()
