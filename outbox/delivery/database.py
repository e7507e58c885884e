"""The database beside an event loop: one thread has the connection, and commits together what the tasks hand in.

A commit costs a wait for the disk, and SQLite has one writer. So while the thread commits, the writes of other tasks
gather, and the next transaction holds all of them. A write never has to know: its task gets its own answer, and when a
transaction fails, each of its writes is tried alone, so that nobody fails for another's sake.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from django.db import connection, transaction

from mailbox.db.errors import DATABASE_TROUBLE
from outbox.delivery import sqlite_write_lock

T = TypeVar("T")
MOST_AT_ONCE = 32  # writes of a transaction, which is to stay far below 250 ms


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
    """`run` and `write` are for the coroutines of `complete`, which is called in the database's thread."""

    def __init__(self) -> None:
        self._acts: SimpleQueue[Callable[[], None] | None] = SimpleQueue()  # None: the coroutine has ended
        self._gathered: deque[Write] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[Any] | None = None

    async def run(self, act: Callable[[], T]) -> T:
        """Run this by itself in the database's thread; its answer. Raises what it raises."""
        alone = Write(act, asyncio.get_running_loop().create_future())
        self._acts.put(lambda: self._do_alone(alone))
        answer: T = await alone.future
        return answer

    async def write(self, act: Callable[[], T]) -> T:
        """Run this in a transaction, perhaps with other tasks' writes; its answer.

        Raises what it or the commit raises; then nothing of it is written, unless the connection was lost in the commit
        itself.
        """
        write = Write(act, asyncio.get_running_loop().create_future())
        self._gathered.append(write)
        self._acts.put(self._commit_gathered)
        answer: T = await write.future
        return answer

    def complete(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, with its event loop in another thread; what it returns. Raises what it raises.

        An exception that is raised in this thread from outside (SystemExit of a signal, say) cancels the coroutine, and
        is raised when that has ended.
        """
        outcome: Future[T] = Future()
        name = f"{threading.current_thread().name}, event loop"
        threading.Thread(target=self._run_loop, args=(coroutine, outcome), name=name).start()
        stopped: BaseException | None = None
        while True:
            try:
                if (act := self._acts.get()) is None:
                    break
                act()
            except BaseException as error:
                stopped = stopped or error
                self._cancel()
        if stopped is not None:
            raise stopped
        return outcome.result()

    # --- The event loop's thread ----------------------------------------------------------------------------------
    def _run_loop(self, coroutine: Coroutine[Any, Any, T], outcome: Future[T]) -> None:
        try:
            outcome.set_result(asyncio.run(self._begin(coroutine)))
        except BaseException as error:
            outcome.set_exception(error)
        finally:
            self._acts.put(None)

    async def _begin(self, coroutine: Coroutine[Any, Any, T]) -> T:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        return await coroutine

    # --- The database's thread ------------------------------------------------------------------------------------
    def _cancel(self) -> None:
        if self._loop is not None and self._main is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._main.cancel)

    def _do_alone(self, alone: Write) -> None:
        try:
            alone.answer = alone.act()
        except Exception as error:
            alone.error = error
            _forget_if_broken(error)
        self._tell([alone])

    def _commit_gathered(self) -> None:
        batch = [self._gathered.popleft() for _ in range(min(MOST_AT_ONCE, len(self._gathered)))]
        _commit(batch)  # what is raised from outside cancels the tasks that wait for it
        self._tell(batch)

    def _tell(self, done: Sequence[Write]) -> None:
        if done and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: its tasks were cancelled, and nobody waits
                self._loop.call_soon_threadsafe(_tell_each, done)


def _tell_each(done: Sequence[Write]) -> None:
    for write in done:
        write.tell()


def _commit(batch: Sequence[Write]) -> None:
    try:
        if batch:
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
