"""The processes of one run migrate one database: the first makes it, the others copy it.

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
    """Around the making of the test database."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    is_file = connection.vendor == "sqlite"
    made = Path(os.environ[FOLDER_VARIABLE], "migrated.sqlite3" if is_file else "migrated.postgresql")
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            if is_file:
                _copy_when_created(made)
            else:
                connection.settings_dict["TEST"]["TEMPLATE"] = made.read_text()
            fcntl.flock(lock, fcntl.LOCK_UN)  # the others need not wait for one another
            yield
            return
        yield
        connection.close()
        part = made.with_suffix(".part")
        if is_file:
            _copy(Path(connection.settings_dict["NAME"]), part)
        else:
            part.write_text(_make_template(connection.settings_dict["NAME"]))
        part.rename(made)


def _make_template(source: str) -> str:
    """A copy that nobody is connected to, as PostgreSQL asks of what is copied."""
    name = f"{source}_migrated"
    quote = connection.ops.quote_name
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {quote(name)}")  # of a run before, on a server that is kept
        cursor.execute(f"CREATE DATABASE {quote(name)} TEMPLATE {quote(source)}")
    return name


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
