"""Lets a command's main loop wait for SIGINT and SIGTERM."""

from __future__ import annotations

import queue
import signal
from types import FrameType


class StopSignals:
    """Once created, both signals only note that a stop is requested; until then they end the process as by default.

    The kernel sends SIGTERM more than once when a parent with threads dies (once for each thread that inherits the
    child), and people press Ctrl-C twice. If a second signal interrupts a handler that holds a lock, as `Event.set`
    does, the handler waits for itself for ever. `SimpleQueue.put` is reentrant.
    """

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._asked.put(number)

    def wait(self, seconds: float) -> bool:
        """Wait for up to `seconds`; True as soon as a stop is requested, or if it was before, else False."""
        try:
            number = self._asked.get(timeout=seconds)
        except queue.Empty:
            return False
        self._asked.put(number)
        return True

    def ignore(self) -> None:
        """Ignore both signals from now on, as the process ends anyway. Python restores the default handlers before it
        has ended completely, and another signal would then become the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
