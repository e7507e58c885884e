"""Database access of an event loop: queries run at once, in the loop's thread; writes of several tasks share a commit.

A statement takes a fraction of a millisecond, and a commit one fsync. A thread beside the loop would cost more, since
a mail waits here for little but its own commit. Longer work (DNS, connecting, files) is done on threads
(`smtp.blocking_calls`).

SQLite has one writer, and a disk takes as long for one mail as for ten. So a write waits for a few turns of the loop,
in which other tasks add theirs (`mailbox.db.shared_commit`). No transaction is open across an await.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connection

from mailbox.db import shared_commit
from mailbox.db.shared_commit import MOST_AT_ONCE, Write

T = TypeVar("T")
# Data on a socket becomes a write three turns of the loop later (socket, future, task). Measured with five accounts:
# 1.2 writes share a commit without waiting, 2.2 with three turns, 3 with six.
GATHERING_TURNS = 4
LOCK_SECONDS = 1  # no transaction of ours lasts that long


@contextmanager
def outside_of_the_loop() -> Iterator[None]:
    """Hide the running event loop from Django for synchronous queries.

    Beside a running loop Django keeps a connection for each task rather than each thread, and refuses queries. Nothing
    awaits in here, so the loop's thread may use its connection.
    """
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


def wait_briefly_for_locks() -> None:
    """Have this thread's connection wait LOCK_SECONDS for a lock at most. A process that is stopped in a transaction
    keeps its rows locked, and each wait for one holds up all tasks of the loop.

    Where a pooler passes on no such limits, there are none in the settings, and none here.
    """
    options = connection.settings_dict.get("OPTIONS", {})
    if "lock_timeout" in (given := options.get("options", "")):
        brief = {**options, "options": f"{given} -c lock_timeout={LOCK_SECONDS}s"}
        connection.settings_dict = {**connection.settings_dict, "OPTIONS": brief}


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in this thread; return its result, or raise its exception.

    An asynchronous exception in this thread (such as the SystemExit of a time-out) cancels the coroutine, which may
    still write, and is raised after it has ended.
    """
    with outside_of_the_loop():  # the caller's thread may have a running loop
        return asyncio.run(coroutine)


class Database:
    """Database access for the tasks of one event loop, which complete() runs."""

    def __init__(self, writers: int = MOST_AT_ONCE) -> None:
        """writers: the number of tasks that may write at one time. A write waits for those of others, if there are."""
        self.writers = writers
        self._gathered: deque[tuple[Write, asyncio.Future[None]]] = deque()  # and what the task of each waits for

    def run(self, act: Callable[[], T]) -> T:
        """Call `act` at once, outside of any shared transaction; return its result, or raise its exception."""
        with outside_of_the_loop():
            try:
                return act()
            except Exception as error:
                shared_commit.forget_if_broken(error)
                raise

    async def write(self, act: Callable[[], T]) -> T:
        """Call `act` in a transaction, possibly with writes of other tasks; return its result.

        Raises what `act` or the commit raises. Then nothing was written, except perhaps when the connection was lost
        during the commit.
        """
        loop, write = asyncio.get_running_loop(), Write(act)
        done = loop.create_future()
        self._gathered.append((write, done))
        if len(self._gathered) == 1:
            loop.call_soon(self._gather, GATHERING_TURNS if self.writers > 1 else 0)
        await done
        if write.error is not None:
            raise write.error
        answer: T = write.answer
        return answer

    def _gather(self, turns: int) -> None:
        """Wait some turns, then commit. A callback and not a task, since a stop cancels all tasks, and these may still
        write."""
        loop = asyncio.get_running_loop()
        if turns and len(self._gathered) < MOST_AT_ONCE:
            loop.call_soon(self._gather, turns - 1)
            return
        batch = [self._gathered.popleft() for _ in range(min(MOST_AT_ONCE, len(self._gathered)))]
        try:
            with outside_of_the_loop():
                # An asynchronous exception in here cancels the tasks that wait for it.
                shared_commit.commit([write for write, _done in batch])
            for _write, done in batch:
                if not done.done():  # else the task was cancelled
                    done.set_result(None)
        finally:
            if self._gathered:
                loop.call_soon(self._gather, 0)
