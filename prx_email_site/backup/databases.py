"""Copies the database while it is in use, and loads such a copy.

SQLite: its backup API. PostgreSQL: pg_dump and pg_restore, of the server's major version.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.backends.postgresql.client import DatabaseClient

from prx_email_site.backup.faults import DumpDamaged, ToolFailed

Fetch = Callable[[str], list[Any]]
SCRATCH_PREFIX = "prx_email_proof_"
# As text with their arguments; without those of extensions.
OUR_FUNCTIONS = """SELECT oid::regprocedure::text FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace AND prokind = 'f'
AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')"""


@dataclass(frozen=True)
class DatabaseContent:
    """Row counts by table, names of migrations, and for each segment the end in bytes of the last message in it."""

    counts: dict[str, int]
    migrations: list[str]
    segments: dict[str, int]


def dump(to: Path) -> DatabaseContent:
    """Copy the database to a file and return the content of the copy. Raises ToolFailed."""
    if connection.vendor != "sqlite":
        return _dump_postgresql(to)
    try:
        return _dump_sqlite(to)
    except sqlite3.Error as error:
        raise ToolFailed(f"The database cannot be copied: {error}.") from error


def load(path: Path) -> None:
    """Replace all of the database by a copy. Raises DumpDamaged and ToolFailed."""
    if connection.vendor == "sqlite":
        _load_sqlite(path)
    else:
        _load_postgresql(path)


def size_of_dump() -> int:
    """How many bytes dump() writes; 0 if that is not known before, as with pg_dump, which compresses."""
    if connection.vendor != "sqlite":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        return int(cursor.fetchone()[0])


def room_to_load(dump_size: int) -> int:
    """How many bytes load() writes on this host: none with PostgreSQL; with SQLite the database and its log."""
    return 2 * dump_size if connection.vendor == "sqlite" else 0


def restore_warning() -> str:
    """A sentence when the pg_restore of this host may say what this server, which is older, refuses; else ""."""
    if connection.vendor == "sqlite":
        return ""
    connection.ensure_connection()
    server: int = connection.pg_version // 10000  # type: ignore[attr-defined]
    try:
        said = subprocess.run(["pg_restore", "--version"], capture_output=True, text=True).stdout  # noqa: S607
    except FileNotFoundError:
        return (
            "pg_restore is not installed: no backup can be restored or proven here. apt-get install postgresql-client"
        )
    found = re.search(r" (\d+)", said)
    if found is None or int(found[1]) <= server:
        return ""
    return (
        f"pg_restore is of PostgreSQL {found[1]} and the server of {server}, which may refuse what it says: run "
        f"manage.py prove, or install postgresql-client-{server}."
    )


def content() -> DatabaseContent:
    """The content of this process's database, in one snapshot."""
    with _snapshot() as fetch:
        return _content(fetch, connection.introspection.table_names())


def _content(fetch: Fetch, tables: list[str]) -> DatabaseContent:
    counts = {table: fetch(f'SELECT count(*) FROM "{table}"')[0][0] for table in sorted(tables)}  # noqa: S608
    migrations = [f"{app}.{name}" for app, name in fetch("SELECT app, name FROM django_migrations")]
    ends = fetch('SELECT segment, max("offset" + length) FROM raw_messages GROUP BY segment')
    return DatabaseContent(counts, sorted(migrations), {segment: int(end) for segment, end in ends})


@contextmanager
def _snapshot() -> Iterator[Fetch]:
    """A function that runs queries, all of which see the database as it was at the first one."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

        def fetch(sql: str) -> list[Any]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        yield fetch


# --- SQLite ---------------------------------------------------------------------------------------------------


def _dump_sqlite(to: Path) -> DatabaseContent:
    """Copy all pages in one step: in WAL mode this reader and the writers do not block each other."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as ours, closing(sqlite3.connect(to)) as copy:
        ours.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        tables = [name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        own = [name for name in tables if not name.startswith("sqlite_")]
        return _content(lambda sql: copy.execute(sql).fetchall(), own)


def _load_sqlite(path: Path) -> None:
    connection.close()
    name, uri = connection.settings_dict["NAME"], f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as copy, closing(sqlite3.connect(name)) as ours:
        try:
            found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise DumpDamaged(f"{path} is no SQLite database: {error}") from error
        if found != "ok":
            raise DumpDamaged(f"{path}: {found}")
        try:
            copy.backup(ours)
        except sqlite3.Error as error:  # a full disk, or a process that keeps the database locked
            raise ToolFailed(f"The copy cannot be loaded: {error}.") from error


# --- PostgreSQL -----------------------------------------------------------------------------------------------


def _dump_postgresql(to: Path) -> DatabaseContent:
    """pg_dump uses the exported snapshot of the transaction that counts, so both see the same rows."""
    refuse_a_pooler()
    with _snapshot() as fetch:
        name = fetch("SELECT pg_export_snapshot()")[0][0]
        counted = _content(fetch, connection.introspection.table_names())
        _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={name}", f"--file={to}")
    _refuse_new_migrations(counted)
    return counted


def _refuse_new_migrations(copied: DatabaseContent) -> None:
    """Raise ToolFailed if a migration was committed meanwhile: a table that it wrote anew is empty in the snapshot."""
    with _snapshot() as fetch:
        now = sorted(f"{app}.{name}" for app, name in fetch("SELECT app, name FROM django_migrations"))
    if now != copied.migrations:
        raise ToolFailed("Migrations ran while the database was copied: run this again.")


def _load_postgresql(path: Path) -> None:
    """Drop all tables and functions, then restore in one transaction, so that a truncated copy leaves no rows."""
    refuse_a_pooler()
    listed = subprocess.run(["pg_restore", "--list", str(path)], capture_output=True, text=True)  # noqa: S603, S607
    if listed.returncode:
        raise DumpDamaged(f"pg_restore cannot read {path}: {listed.stderr.strip()[-300:]}")
    with transaction.atomic(), connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"DROP TABLE {connection.ops.quote_name(table)} CASCADE")
        cursor.execute(OUR_FUNCTIONS)  # of triggers, which do not go with their tables
        for (function,) in cursor.fetchall():
            cursor.execute(f"DROP FUNCTION {function} CASCADE")
    options = ("--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", str(path))
    _run("pg_restore", *options, name_database=True)


def refuse_a_pooler() -> None:
    """Raise ToolFailed if a pooler hands out transactions: pg_dump and pg_restore set what belongs to a session, such
    as an empty search_path, which others would then have."""
    if settings.DATABASE_POOLING == "transaction":
        raise ToolFailed(
            "PRX_EMAIL_DATABASE_POOLING is transaction: for this command let DATABASE_URL name PostgreSQL itself, and "
            "set PRX_EMAIL_DATABASE_POOLING=session."
        )


def _run(tool: str, *options: str, name_database: bool = False) -> None:
    command, environment = DatabaseClient.settings_to_cmd_args_env(connection.settings_dict, [])
    connects, database = command[1:-1], command[-1]
    target = [f"--dbname={database}"] if name_database else [database]
    # It ends with this process: a pg_restore that goes on would fill the database that the next one empties.
    with_us = [sys.executable, "-m", "prx_email_site.parent_death", str(os.getpid())]
    if shutil.which(tool) is None:
        raise ToolFailed(f"{tool} is not installed: apt-get install postgresql-client")
    try:
        subprocess.run(  # noqa: S603
            [*with_us, tool, *connects, *target, *options],
            cwd=settings.BASE_DIR,
            env={**os.environ, **(environment or {})},
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        raise ToolFailed(f"{tool}: {error.stderr.strip()[-500:]}") from error


@contextmanager
def scratch_database(now: datetime) -> Iterator[str]:
    """A context with an empty PostgreSQL database on the same server, dropped at the end; its name. Raises ToolFailed.

    Those that a killed process left, which hold copies of mail, are dropped when they are a day old.
    """
    refuse_a_pooler()
    drop_left_ones(now)
    name = f"{SCRATCH_PREFIX}{now:%Y%m%d}_{secrets.token_hex(6)}"
    quoted = connection.ops.quote_name(name)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {quoted} TEMPLATE template0")
    except DatabaseError as error:
        why = f"{error}".strip()
        raise ToolFailed(f"No scratch database: {why}. The role needs CREATEDB (ALTER ROLE … CREATEDB).") from error
    try:
        yield name
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")


def drop_left_ones(now: datetime) -> None:
    """Drop scratch databases made the day before yesterday or earlier. PostgreSQL refuses where one is in use."""
    if connection.vendor == "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname ~ %s", [f"^{SCRATCH_PREFIX}[0-9]{{8}}_"])
        names = [name for (name,) in cursor.fetchall()]
        first_kept = f"{SCRATCH_PREFIX}{now - timedelta(days=1):%Y%m%d}"
        for name in names:
            if name < first_kept:
                with suppress(DatabaseError):  # in use, of another role, or dropped by another process just now
                    cursor.execute(f"DROP DATABASE IF EXISTS {connection.ops.quote_name(name)}")
