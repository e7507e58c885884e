"""One `prepare` at a time: two hosts that are upgraded together would migrate one database twice."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

ADVISORY_LOCK = 7_305_180_001  # any number that nobody else takes in this database
STEP_SECONDS = 0.2


@contextmanager
def one_at_a_time(folder: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Wait for whoever prepares this data folder, or this database, from any host; `say` hears that there is one.

    A file's lock for the folder; PostgreSQL's advisory lock for the database, held by a connection that nothing else
    uses. Both end with the process. They are asked for again and again, since a wait for the second would count
    towards lock_timeout.
    """
    descriptor = os.open(folder / "prepare.lock", os.O_RDWR | os.O_CREAT, 0o600)
    own = connection.copy("prepare_lock") if connection.vendor == "postgresql" else None
    try:
        _wait(lambda: _lock_file(descriptor), say)
        if own is not None:
            with own.cursor() as cursor:

                def lock() -> bool:
                    cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
                    return bool(cursor.fetchone()[0])

                _wait(lock, say)
        yield
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
