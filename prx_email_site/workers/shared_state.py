"""Shared memory without locks, which the parent makes and its forks write: a process that is killed blocks nobody.

Every cell is a double with one writer. Eight bytes that are aligned are written at once on the processors that we run
on; a reader sees the old or the new value.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from dataclasses import dataclass

PARENT, SENTINEL, PULSE_SENT, PULSE_RETURNED, STARTED, STOPPING, FIRST_WORKER = range(7)


@dataclass(frozen=True)
class WorkerState:
    """`pid` 0: never started. `busy_since` is by time.monotonic(); 0: idle."""

    pid: int
    busy_since: float


class SharedStates:
    """Times are by time.monotonic(), which is one clock for all processes of a machine."""

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.workers, self.clock = workers, clock
        self._cells = memoryview(mmap.mmap(-1, 8 * (FIRST_WORKER + 2 * workers))).cast("d")

    def note(self, cell: int) -> None:
        """Write the present time into a cell."""
        self._cells[cell] = self.clock()

    def at(self, cell: int) -> float:
        """The time that was noted last; 0: never."""
        return self._cells[cell]

    def worker(self, slot: int) -> WorkerState:
        return WorkerState(int(self._cells[FIRST_WORKER + 2 * slot]), self._cells[FIRST_WORKER + 2 * slot + 1])

    def all_workers(self) -> list[WorkerState]:
        return [self.worker(slot) for slot in range(self.workers)]

    def worker_started(self, slot: int, pid: int) -> None:
        """Said by the worker before its first task: its slot was another's, which may have died busy."""
        self._cells[FIRST_WORKER + 2 * slot + 1] = 0
        self._cells[FIRST_WORKER + 2 * slot] = pid

    def worker_busy(self, slot: int, *, is_busy: bool) -> None:
        self._cells[FIRST_WORKER + 2 * slot + 1] = self.clock() if is_busy else 0


class SharedEvent:
    """What django-q2 uses of `multiprocessing.Event`, which waits for ever for a waiter that was killed."""

    STEP_SECONDS = 0.05

    def __init__(self, states: SharedStates, cell: int) -> None:
        self._states, self._cell = states, cell

    def set(self) -> None:
        self._states.note(self._cell)

    def is_set(self) -> bool:
        return self._states.at(self._cell) > 0

    def wait(self, seconds: float) -> bool:
        """True as soon as it is set; False after `seconds`."""
        end = time.monotonic() + seconds
        while not self.is_set():
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(self.STEP_SECONDS, left))
        return True
