"""One `prepare` at a time, as two hosts that are upgraded together would migrate one database twice; and one backup."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

ADVISORY_LOCK, BACKUP_LOCK = 7_305_180_001, 7_305_180_002  # any numbers that nobody else takes in this database
STEP_SECONDS = 0.2


@contextmanager
def one_at_a_time(folder: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Wait for whoever prepares this data folder, or this database, from any host; `say` hears that there is one.

    A file's lock for the folder; PostgreSQL's advisory lock for the database, held by a connection that nothing else
    uses. Both end with the process. They are asked for again and again, since a wait for the second would count
    towards lock_timeout.
    """
    with _locks(folder / "prepare.lock", ADVISORY_LOCK) as locks:
        for lock in locks:
            _wait(lock, say)
        yield


@contextmanager
def or_refused(path: Path, number: int, refusal: Exception) -> Iterator[None]:
    """Likewise by a file's lock and the database's, and raise `refusal` where somebody has one of them."""
    with _locks(path, number) as locks:
        if not all(lock() for lock in locks):
            raise refusal
        yield


@contextmanager
def _locks(path: Path, number: int) -> Iterator[list[Callable[[], bool]]]:
    """Each says whether it was taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    own = connection.copy("one_at_a_time") if connection.vendor == "postgresql" else None

    def lock_database() -> bool:
        if own is None:
            return True
        with own.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
            return bool(cursor.fetchone()[0])

    try:
        yield [lambda: _lock_file(descriptor), lock_database]
    finally:
        if own is not None:
            own.close()
        os.close(descriptor)


def _lock_file(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(lock: Callable[[], bool], say: Callable[[str], object]) -> None:
    if lock():
        return
    say("Another prepare is at work on this database or data folder: waiting for its end.")
    while not lock():
        time.sleep(STEP_SECONDS)
