"""Locks for `prepare` and for backups. Without them, two hosts upgraded together would migrate one database twice."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

ADVISORY_LOCK, BACKUP_LOCK = 7_305_180_001, 7_305_180_002  # arbitrary keys that nothing else uses in this database
STEP_SECONDS = 0.2


@contextmanager
def one_at_a_time(folder: Path, say: Callable[[str], object]) -> Iterator[None]:
    """A context that excludes other processes that prepare this data folder, or this database from any host.

    Waits for them; `say` gets a sentence if there is one. A file lock guards the folder; an advisory lock of PostgreSQL
    guards the database, in a transaction of its own, which a pooler leaves in one session. Both end with the process.
    They are polled, as blocking on the second would be subject to lock_timeout.
    """
    with _locks(folder / "prepare.lock", ADVISORY_LOCK) as locks:
        for lock in locks:
            _wait(lock, say)
        yield


@contextmanager
def or_refused(path: Path, number: int, refusal: Exception) -> Iterator[None]:
    """A context with the same kinds of locks, but raises `refusal` if another process holds one of them."""
    with _locks(path, number) as locks:
        if not all(lock() for lock in locks):
            raise refusal
        yield


@contextmanager
def _locks(path: Path, number: int) -> Iterator[list[Callable[[], bool]]]:
    """Functions that try to take each lock and return whether it was taken. The locks are released at the end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    own = connection.copy("one_at_a_time") if connection.vendor == "postgresql" else None

    def lock_database() -> bool:
        if own is None:
            return True
        with own.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
            return bool(cursor.fetchone()[0])

    try:
        if own is not None:
            own.set_autocommit(False)  # the transaction lasts until the connection is closed
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
    say("Another prepare, backup or restore is at work on this database or data folder: waiting for its end.")
    while not lock():
        time.sleep(STEP_SECONDS)
