"""One transaction for the steps of several threads: what waits for the disk waits for it once, together.

A commit costs a wait for the disk, and SQLite has one writer. So while one thread commits, the steps of the others
gather, and the next thread to get its turn commits all of them. A step never has to know: it answers its own caller,
and when a transaction fails, each of its steps is tried alone, so that nobody fails for another's sake.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import OperationalError, connection, transaction

from mailbox.db.errors import DATABASE_TROUBLE
from outbox.eventloop import sqlite_write_lock
from outbox.eventloop.coroutines import Ask
from outbox.eventloop.db_connection import own_connection

T = TypeVar("T")
MOST_AT_ONCE = 32  # steps of a transaction, which is to stay far below 250 ms


@dataclass(eq=False)
class Done(Generic[T]):
    """A step and, once it is done, what came of it."""

    act: Callable[[], T]
    answer: T | None = None
    error: Exception | None = None
    is_done: bool = False

    def fail(self, error: Exception) -> None:
        self.error, self.is_done = error, True


_gathered: list[Done[object]] = []
_gathering, _committing = threading.Lock(), threading.Lock()


@dataclass(frozen=True, slots=True)
class Together(Ask, Generic[T]):
    """To be written in a transaction, perhaps with the steps of others; see `run`."""

    act: Callable[[], T]

    def here(self) -> T:
        return run(self.act)


def run(act: Callable[[], T]) -> T:
    """Run a step in a transaction, perhaps with other threads' steps, perhaps in another thread; its answer.

    The step uses `django.db.connection` as it finds it there. Raises what the step or its commit raises; then nothing
    of it is written, unless the connection was lost in the commit itself.
    """
    if own_connection().in_atomic_block:
        return act()
    if not _gathered and _committing.acquire(blocking=False):  # nobody to share it with
        try:
            with sqlite_write_lock.Courtesy(), transaction.atomic():
                return act()
        finally:
            _committing.release()
    (step,) = run_all([act])
    if step.error is not None:
        raise step.error
    return step.answer  # type: ignore[return-value]


def run_all(acts: Sequence[Callable[[], T]]) -> list[Done[T]]:
    """Run several steps as `run` runs one; what came of each."""
    steps = [Done(act) for act in acts]
    with _gathering:
        _gathered.extend(steps)  # type: ignore[arg-type]
    try:
        with _committing:
            while not all(step.is_done for step in steps):
                with _gathering:
                    batch, _gathered[:] = _gathered[:MOST_AT_ONCE], _gathered[MOST_AT_ONCE:]
                _commit(batch)
    finally:
        if not all(step.is_done for step in steps):  # this thread was told to stop: nobody is to do what nobody awaits
            with _gathering:
                _gathered[:] = [each for each in _gathered if each not in steps]
    return steps


def _commit(batch: list[Done[object]]) -> None:
    try:
        try:
            _write(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].fail(error)
                return
            for step in batch:
                _write_alone(step, error)
    finally:
        for step in batch:  # this thread was told to stop in the middle of it
            if not step.is_done:
                step.fail(OperationalError("The thread that wrote this for several was stopped."))


def _write(batch: list[Done[object]]) -> None:
    with sqlite_write_lock.Courtesy(), transaction.atomic():
        answers = [step.act() for step in batch]
    for step, answer in zip(batch, answers, strict=True):
        step.answer, step.is_done = answer, True


def _write_alone(step: Done[object], before: Exception) -> None:
    if isinstance(before, DATABASE_TROUBLE):
        connection.close()  # it may be the connection that is broken
    try:
        _write([step])
    except Exception as error:
        step.fail(error)
