"""Shared memory without locks, made by the parent and written by its forks: a killed process blocks no other.

Each cell is a double with one writer. Writes of eight aligned bytes are atomic on the supported processors, so a reader
sees the old or the new value.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from dataclasses import dataclass

PARENT, SENTINEL, PULSE_SENT, PULSE_RETURNED, STARTED, STOPPING, FIRST_WORKER = range(7)


@dataclass(frozen=True)
class WorkerState:
    """A worker's state. pid: 0 if it never started. busy_since: by time.monotonic(); 0 if it is idle."""

    pid: int
    busy_since: float


class SharedStates:
    """The cells. Times are by time.monotonic(), which is the same for all processes of a machine."""

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.workers, self.clock = workers, clock
        self._cells = memoryview(mmap.mmap(-1, 8 * (FIRST_WORKER + 2 * workers))).cast("d")

    def note(self, cell: int) -> None:
        """Write the present time into a cell."""
        self._cells[cell] = self.clock()

    def at(self, cell: int) -> float:
        """The last time in a cell; 0 if there was none."""
        return self._cells[cell]

    def worker(self, slot: int) -> WorkerState:
        """The state of the worker in this slot, 0 to workers - 1."""
        return WorkerState(int(self._cells[FIRST_WORKER + 2 * slot]), self._cells[FIRST_WORKER + 2 * slot + 1])

    def all_workers(self) -> list[WorkerState]:
        """The states of all slots, in order."""
        return [self.worker(slot) for slot in range(self.workers)]

    def worker_started(self, slot: int, pid: int) -> None:
        """A worker calls this before its first task: the slot's former worker may have died while busy."""
        self._cells[FIRST_WORKER + 2 * slot + 1] = 0
        self._cells[FIRST_WORKER + 2 * slot] = pid

    def worker_busy(self, slot: int, *, is_busy: bool) -> None:
        """A worker calls this at the begin and the end of each task."""
        self._cells[FIRST_WORKER + 2 * slot + 1] = self.clock() if is_busy else 0


class SharedEvent:
    """The methods of `multiprocessing.Event` that django-q2 uses. The original hangs if a waiting process is killed."""

    STEP_SECONDS = 0.05

    def __init__(self, states: SharedStates, cell: int) -> None:
        self._states, self._cell = states, cell

    def set(self) -> None:
        """Set the event, for all processes and for good."""
        self._states.note(self._cell)

    def is_set(self) -> bool:
        """Whether any process has set it."""
        return self._states.at(self._cell) > 0

    def wait(self, seconds: float) -> bool:
        """Wait until the event is set (True), for at most `seconds` (False)."""
        end = time.monotonic() + seconds
        while not self.is_set():
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(self.STEP_SECONDS, left))
        return True
