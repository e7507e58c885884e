"""A new installation's tables, made at once, are those of one that came through every step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection

from tests.servers.site import ROOT

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True)]

TABLES = """
import json, sys, django
django.setup()
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
if sys.argv[1] == "step by step":
    load_disk = MigrationLoader.load_disk
    def load_steps(loader):
        load_disk(loader)
        for key in [key for key, each in loader.disk_migrations.items() if each.replaces]:
            del loader.disk_migrations[key]
    MigrationLoader.load_disk = load_steps
call_command("migrate", verbosity=0)
names, tables = connection.introspection, {}
with connection.cursor() as cursor:
    for table in sorted(names.table_names(cursor)):
        columns = sorted(map(repr, names.get_table_description(cursor, table)))
        constraints = names.get_constraints(cursor, table)
        # A primary key, foreign key or column's UNIQUE has a name with a hash or a number in it.
        keys = sorted(repr(sorted(each.items(), key=str)) for each in constraints.values())
        tables[table] = [columns, keys]
    if connection.vendor == "sqlite":
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type <> 'table' OR sql LIKE 'CREATE VIRTUAL%'")
        more = cursor.fetchall()
        cursor.execute("SELECT * FROM message_words_config ORDER BY 1")
        more += cursor.fetchall()
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        parts = [(name, part) for name, sql in cursor.fetchall() for part in sql.split("CONSTRAINT")[1:]]
        more += [(name, part.rstrip(" ,)")) for name, part in parts if "CHECK" in part and "REFERENCES" not in part]
    else:
        more, here = [], "'public'::regnamespace"
        for query in (
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
            f"SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = {here}",
            f"SELECT relname, reloptions::text FROM pg_class WHERE relnamespace = {here} AND reloptions IS NOT NULL",
        ):
            cursor.execute(query)
            more += cursor.fetchall()
call_command("makemigrations", check=True, dry_run=True, verbosity=0)
print(json.dumps([tables, sorted(map(repr, more))]))
"""


@contextmanager
def empty_database(folder: Path, name: str) -> Iterator[str]:
    if connection.vendor == "sqlite":
        yield f"sqlite:///{folder / name}.sqlite3"
        return
    own = connection.settings_dict
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
    yield f"postgres://{quote(own['USER'])}@{own['HOST']}:{own['PORT']}/{name}"
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")


def tables(folder: Path, name: str, how: str) -> Any:
    with empty_database(folder, name) as url:
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "prx_email_site.settings", "DATABASE_URL": url}
        made = subprocess.run(
            [sys.executable, "-c", TABLES, how], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def test_tables_made_at_once_are_those_made_step_by_step(tmp_path: Path) -> None:
    at_once, more_at_once = tables(tmp_path, "made_at_once", "at once")
    by_steps, more_by_steps = tables(tmp_path, "made_by_steps", "step by step")
    assert len(at_once) > 40
    assert at_once == by_steps
    assert more_at_once == more_by_steps
