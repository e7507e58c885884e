"""A file lock (flock) by which delivery workers take turns in writing to a SQLite database.

SQLite waits for its one writer by sleeping, longer after each try; here the next worker gets its turn within a tenth of
a millisecond. The lock is advisory: other writers wait as SQLite does, and a worker that does not get the lock in time
(since a process that holds it was stopped) writes without it.
"""

from __future__ import annotations

import fcntl
import os
import time

from mailbox.db.own_connection import own_connection

MOST_SECONDS = 0.5  # longest wait for the lock; after it, writes go on without waiting ...
FORGET_SECONDS = 10.0  # ... for this long, unless the lock is free
FIRST_LOOK, LONGEST_LOOK = 0.0001, 0.002  # seconds between two tries

_opened: tuple[int, str, int] | None = None  # (process id, path, file descriptor)
_impatient_until = 0.0


class WriteTurn:
    """Hold the lock while writing, or go on without it after MOST_SECONDS. One thread of a process at a time."""

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
    """The lock file's descriptor, opened in this process: an inherited one would share its lock with the parent."""
    global _opened
    if _opened is None or _opened[:2] != (os.getpid(), path):
        if _opened is not None:
            os.close(_opened[2])
        _opened = (os.getpid(), path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return _opened[2]
