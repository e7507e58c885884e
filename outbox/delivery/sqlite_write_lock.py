"""Delivery workers that share a SQLite database write in turns, which a file's lock (flock) gives.

SQLite's own wait for its one writer is a sleep that grows from look to look; here the next worker looks again within a
tenth of a millisecond. The lock is advisory: who writes without it waits as SQLite does, and who cannot get it (a
process that has it was stopped) writes without it.
"""

from __future__ import annotations

import fcntl
import os
import time

from outbox.delivery.db_connection import own_connection

MOST_SECONDS = 0.5  # to wait for a turn; after that nobody waits for one ...
FORGET_SECONDS = 10.0  # ... for so long, unless it is free
FIRST_LOOK, LONGEST_LOOK = 0.0001, 0.002  # seconds between looks

_opened: tuple[int, str, int] | None = None  # by which process, which file, its descriptor
_impatient_until = 0.0


class WriteTurn:
    """Hold the lock while writing, or write without it after a while. One thread of a process at a time."""

    def __enter__(self) -> None:
        self._descriptor = _take() if own_connection().vendor == "sqlite" else None

    def __exit__(self, *_error: object) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _take() -> int | None:
    global _impatient_until
    descriptor, look = _descriptor(f"{own_connection().settings_dict['NAME']}-turn"), FIRST_LOOK
    until: float | None = None
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            if until is None:
                until = now if now < _impatient_until else now + MOST_SECONDS
            if now >= until:
                _impatient_until = now + FORGET_SECONDS
                return None
            time.sleep(look)
            look = min(look * 1.5, LONGEST_LOOK)
        else:
            return descriptor


def _descriptor(path: str) -> int:
    """Opened once a process: a descriptor that was inherited shares its lock with the parent."""
    global _opened
    if _opened is None or _opened[:2] != (os.getpid(), path):
        if _opened is not None:
            os.close(_opened[2])
        _opened = (os.getpid(), path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return _opened[2]
