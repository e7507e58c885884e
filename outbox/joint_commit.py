"""One transaction for the steps of several threads: what waits for the disk waits for it once, together.

A commit costs a wait for the disk, and SQLite has one writer. So while one thread commits, the steps of the others
gather, and the next thread to get its turn commits all of them. A step never has to know: it answers its own caller,
and when a transaction fails, each of its steps is tried alone, so that nobody fails for another's sake.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import InterfaceError, OperationalError, connection, transaction

T = TypeVar("T")
MOST_AT_ONCE = 32  # steps of a transaction, which is to stay far below 250 ms


@dataclass(eq=False)
class _Step(Generic[T]):
    act: Callable[[], T]
    answer: T | None = None
    error: Exception | None = None
    is_done: bool = False

    def fail(self, error: Exception) -> None:
        self.error, self.is_done = error, True


_gathered: list[_Step[object]] = []
_gathering, _committing = threading.Lock(), threading.Lock()


def run(act: Callable[[], T]) -> T:
    """Run a step in a transaction, perhaps with other threads' steps, perhaps in another thread; its answer.

    The step uses `django.db.connection` as it finds it there. Raises what the step or its commit raises; then nothing
    of it is written, unless the connection was lost in the commit itself.
    """
    step: _Step[T] = _Step(act)
    if connection.in_atomic_block:
        return act()
    with _gathering:
        _gathered.append(step)  # type: ignore[arg-type]
    with _committing:
        if not step.is_done:
            with _gathering:
                batch = _gathered[:MOST_AT_ONCE]
                if step not in batch:  # more came before us than fit in: ours is not left to anybody
                    batch = [*batch[:-1], step]  # type: ignore[list-item]
                _gathered[:] = [each for each in _gathered if each not in batch]
            _commit(batch)
    if step.error is not None:
        raise step.error
    return step.answer  # type: ignore[return-value]


def _commit(batch: list[_Step[object]]) -> None:
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


def _write(batch: list[_Step[object]]) -> None:
    with _turn(), transaction.atomic():
        answers = [step.act() for step in batch]
    for step, answer in zip(batch, answers, strict=True):
        step.answer, step.is_done = answer, True


@contextmanager
def _turn() -> Iterator[None]:
    """One courier after the other. SQLite's own wait for the writer is a sleep that grows from look to look; a file's
    lock wakes the next one at once. It is only a courtesy: whoever does not ask waits as SQLite does."""
    if connection.vendor != "sqlite":
        yield
        return
    descriptor = os.open(f"{connection.settings_dict['NAME']}-turn", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_alone(step: _Step[object], before: Exception) -> None:
    if isinstance(before, OperationalError | InterfaceError):
        connection.close()  # it may be the connection that is broken
    try:
        _write([step])
    except Exception as error:
        step.fail(error)
