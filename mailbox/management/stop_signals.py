"""SIGINT and SIGTERM as something a command waits for."""

from __future__ import annotations

import queue
import signal
from types import FrameType


class StopSignals:
    """From now on both signals only note that a stop is asked for; before, they end the process as by default.

    The kernel sends SIGTERM more than once when a parent with threads dies (once for each thread that inherits the
    child), and people press Ctrl-C twice. A handler that takes a lock, as `Event.set` does, then waits for itself for
    ever. `SimpleQueue.put` may be interrupted by itself.
    """

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._asked.put(number)

    def wait(self, seconds: float) -> bool:
        """True as soon as a stop is asked for, also when that was before; False after `seconds` without."""
        try:
            number = self._asked.get(timeout=seconds)
        except queue.Empty:
            return False
        self._asked.put(number)
        return True

    def ignore(self) -> None:
        """The process ends anyway: Python puts the default handlers back before it is through with its own end, and one
        more signal would then be the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
