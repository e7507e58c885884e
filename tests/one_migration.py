"""The processes of one run migrate one SQLite database: the first makes it, the others copy it.

The migrations compute for about ten seconds on a slow machine, and three processes that make the same tables at once
on two cores take half a minute. "migrate" runs on the copy as well and finds nothing to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from django.db import connection

from tests.settings import FOLDER_VARIABLE


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Around the making of the test database; PostgreSQL's are each made alone."""
    if connection.vendor != "sqlite" or "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    made = Path(os.environ[FOLDER_VARIABLE], "migrated.sqlite3")
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            _copy_when_created(made)
            fcntl.flock(lock, fcntl.LOCK_UN)  # the others need not wait for one another
            yield
            return
        yield
        connection.close()
        part = made.with_suffix(".part")
        _copy(Path(connection.settings_dict["NAME"]), part)
        part.rename(made)


def _copy_when_created(made: Path) -> None:
    """Django removes what lies in the place of the test database: the copy is made behind that."""
    create = connection.creation._create_test_db

    def create_and_copy(verbosity: int, autoclobber: bool, keepdb: bool = False) -> str:
        name: str = create(verbosity, autoclobber, keepdb)
        _copy(made, Path(name))
        return name

    connection.creation._create_test_db = create_and_copy


def _copy(source: Path, target: Path) -> None:
    """By SQLite's backup: what its write-ahead log still holds comes along."""
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)
