"""Commits the writes of several threads or tasks in one transaction; each gets its own outcome.

SQLite has one writer, and a disk takes as long for one mail as for ten. If the transaction fails, each write is tried
alone, so that none fails because of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connection, transaction

from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.db.sqlite_write_lock import WriteTurn
from mailbox.gathered_calls import GatheredCalls

T = TypeVar("T")
MOST_AT_ONCE = 32  # writes in one transaction, which must stay far below 250 ms


@dataclass(eq=False)
class Write:
    """A write, and its outcome once commit() has returned."""

    act: Callable[[], Any]
    answer: Any = None
    error: Exception | None = None


def write(act: Callable[[], T]) -> T:
    """Call `act` in a transaction and return its result when that is committed; raises what `act` or the commit raises.

    On SQLite, outside of a transaction, it is shared with the writes that other threads of this process ask for
    meanwhile, and another thread may call `act`.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with transaction.atomic():
            return act()
    mine = Write(act)
    _of_threads.ask(mine)
    if mine.error is not None:
        raise mine.error
    answer: T = mine.answer
    return answer


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


_of_threads = GatheredCalls(commit, MOST_AT_ONCE)
