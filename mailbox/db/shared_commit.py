"""Commits the writes of several threads or tasks in one transaction; each gets its own outcome.

SQLite has one writer, and a disk takes as long for one mail as for ten. If the transaction fails, each write is tried
alone, so that none fails because of another.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connection, transaction

from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.db.sqlite_write_lock import WriteTurn

T = TypeVar("T")
MOST_AT_ONCE = 32  # writes in one transaction, which must stay far below 250 ms


@dataclass(eq=False)
class Write:
    """A write, and its outcome once commit() has returned."""

    act: Callable[[], Any]
    answer: Any = None
    error: Exception | None = None
    is_done: bool = False  # set by the thread that committed it, or was stopped in it


def write(act: Callable[[], T]) -> T:
    """Call `act` in a transaction and return its result when that is committed; raises what `act` or the commit raises.

    On SQLite, outside of a transaction, it is shared with the writes that other threads of this process ask for
    meanwhile, and another thread may call `act`.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with transaction.atomic():
            return act()
    mine = Write(act)
    _waiting.append(mine)
    with _turn:
        while not mine.is_done:
            _commit_waiting()
    if mine.error is not None:
        raise mine.error
    answer: T = mine.answer
    return answer


_waiting = deque[Write]()  # of threads
_turn = threading.Lock()  # of the thread that commits for all that wait; the others find theirs done when it is theirs


def _commit_waiting() -> None:
    batch = [_waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(_waiting)))]
    for each in batch:  # what the others raise if this thread is stopped meanwhile
        each.error = RuntimeError("The thread that committed this for several ones was stopped.")
    try:
        commit(batch)
    finally:
        for each in batch:
            each.is_done = True


def commit(batch: Sequence[Write]) -> None:
    """Call and commit all writes of the batch; raises nothing that is the outcome of a write."""
    try:
        _write(batch)
    except Exception as error:
        forget_if_broken(error)
        if len(batch) == 1:
            batch[0].error = error
            return
        for each in batch:
            _write_alone(each)


def _write(batch: Sequence[Write]) -> None:
    with WriteTurn(), transaction.atomic():
        answers = [each.act() for each in batch]
    for each, answer in zip(batch, answers, strict=True):
        each.answer, each.error = answer, None


def _write_alone(write: Write) -> None:
    try:
        _write([write])
    except Exception as error:
        write.error = error
        forget_if_broken(error)


def forget_if_broken(error: Exception) -> None:
    """Close the connection if it is broken, so that the next query opens another."""
    if isinstance(error, DATABASE_TROUBLE):
        connection.close()
