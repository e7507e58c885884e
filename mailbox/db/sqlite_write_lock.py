"""File locks (flock) by which processes that write often to a SQLite database take turns, in the order they come.

SQLite waits for its one writer by sleeping, longer after each try; here the next process gets its turn within a
millisecond. The lock is advisory: other writers wait as SQLite does, and a process that does not get the lock in time
(since one that holds it was stopped), or cannot open its file (no descriptor is free), writes without it.

A second lock is for the process that is next. Otherwise one whose threads all write would get the first lock again and
again before another process looks.
"""

from __future__ import annotations

import fcntl
import os
import time

from mailbox.db.own_connection import own_connection

MOST_SECONDS = 0.5  # longest wait for the lock; after it, writes go on without waiting ...
FORGET_SECONDS = 10.0  # ... for this long, unless the lock is free
FIRST_LOOK, LONGEST_LOOK = 0.0001, 0.002  # seconds between two tries

_opened: dict[str, tuple[int, int]] = {}  # path -> (process id, file descriptor)
_impatient_until = 0.0


class WriteTurn:
    """Hold the lock while writing, or go on without it after MOST_SECONDS. One thread of a process at a time.

    Raises nothing: an outcome that the server has told must be saved.
    """

    def __enter__(self) -> WriteTurn:
        self._descriptor = _take() if own_connection().vendor == "sqlite" else None
        return self

    @property
    def is_ours(self) -> bool:
        return self._descriptor is not None

    def __exit__(self, *_error: object) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _take() -> int | None:
    """The locked file's descriptor; None when the wait was too long, or the file cannot be opened."""
    database, now = own_connection().settings_dict["NAME"], time.monotonic()
    until = now if now < _impatient_until else now + MOST_SECONDS
    try:
        place, turn = _descriptor(f"{database}-next"), _descriptor(f"{database}-turn")
    except OSError:
        return None
    if not _is_locked(place, until):
        return None
    try:
        return turn if _is_locked(turn, until) else None
    finally:
        fcntl.flock(place, fcntl.LOCK_UN)


def _is_locked(descriptor: int, until: float) -> bool:
    global _impatient_until
    look = FIRST_LOOK
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if (now := time.monotonic()) >= until:
                _impatient_until = now + FORGET_SECONDS
                return False
            time.sleep(look)
            look = min(look * 1.5, LONGEST_LOOK)
        else:
            return True


def _descriptor(path: str) -> int:
    """The lock file's descriptor, opened in this process: an inherited one would share its lock with the parent.

    Raises OSError.
    """
    opened = _opened.get(path)
    if opened is None or opened[0] != os.getpid():
        if opened is not None:
            # Forgotten before it is closed: if the file cannot be opened, another file will have this number.
            del _opened[path]
            os.close(opened[1])
        opened = _opened[path] = (os.getpid(), os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return opened[1]
