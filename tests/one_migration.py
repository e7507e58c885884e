"""The tables are made once: the first process that needs them migrates, the others copy what it made.

The migrations compute for about ten seconds on a slow machine. On SQLite the copy is kept for the next runs
too, until a migration or a model changes; on PostgreSQL for the processes of one run. "migrate" runs on the copy as
well and finds nothing to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import django
from django.apps import apps
from django.conf import settings
from django.db import connection

from tests.settings import FOLDER_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "var" / "tests"
KEPT_SECONDS = 86_400
# What says which tables, triggers and first rows there are.
MAKE_ROWS = ("migrations/*.py", "models/*.py", "models.py", "apps.py", "permissions.py", "schedules.py", "events/*.py")


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Around the making of the test database."""
    is_file = connection.vendor == "sqlite"
    if not is_file and "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    made = _kept() if is_file else Path(os.environ[FOLDER_VARIABLE], "migrated.postgresql")
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
            part.unlink(missing_ok=True)
            _copy(Path(connection.settings_dict["NAME"]), part)
        else:
            part.write_text(_make_template(connection.settings_dict["NAME"]))
        part.rename(made)


def _kept() -> Path:
    """Where the tables of the present migrations are kept. Others are removed once no run can be copying them."""
    KEPT.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = KEPT / f"migrated-{_digest()}.sqlite3"
    for old in KEPT.glob("migrated-*"):
        with contextlib.suppress(FileNotFoundError):
            if old.stem != made.stem and time.time() - old.stat().st_mtime > KEPT_SECONDS:
                old.unlink()
    return made


def _digest() -> str:
    found = hashlib.sha256(f"{django.VERSION} {sqlite3.sqlite_version} {settings.INSTALLED_APPS}".encode())
    for app in apps.get_app_configs():
        of_app = Path(app.path)
        for file in sorted(each for part in MAKE_ROWS for each in of_app.glob(part)):
            found.update(f"{app.label}/{file.name}".encode() + file.read_bytes())
    return found.hexdigest()[:20]


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
