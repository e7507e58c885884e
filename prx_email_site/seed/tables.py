"""Inserts many rows into a table as fast as possible: by COPY in PostgreSQL, by executemany in SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.core.management.color import no_style
from django.db import connection, models
from django.utils import timezone

AT_ONCE = 5_000


def moment(at: datetime) -> str:
    """A time in UTC as the text that the database accepts."""
    return at.strftime("%Y-%m-%d %H:%M:%S+00" if connection.vendor == "postgresql" else "%Y-%m-%d %H:%M:%S")


class RowWriter:
    """Collects rows of a model and writes them in large pieces. Columns that are not named get their defaults."""

    def __init__(self, model: type[models.Model], names: Sequence[str]) -> None:
        fields = {str(field.column): field for field in model._meta.concrete_fields}
        if unknown := set(names) - set(fields):
            raise ValueError(f"{model.__name__} has no column {', '.join(sorted(unknown))}.")
        rest = [
            field for name, field in fields.items() if name not in names and not isinstance(field, models.AutoField)
        ]
        self._rest = tuple(_default(field) for field in rest)
        columns = [*names, *(str(field.column) for field in rest)]
        self._into(model._meta.db_table, columns)

    @classmethod
    def plain(cls, table: str, columns: Sequence[str]) -> RowWriter:
        """A writer for a table or columns that belong to no model."""
        rows = cls.__new__(cls)
        rows._rest = ()
        rows._into(table, columns)
        return rows

    def _into(self, table: str, columns: Sequence[str]) -> None:
        quote = connection.ops.quote_name
        self._table = f"{quote(table)} ({', '.join(map(quote, columns))})"
        self._marks = ", ".join(["%s"] * len(columns))
        self._waiting: list[tuple[Any, ...]] = []

    def add(self, *values: Any) -> None:
        """Add a row: the values of the columns that were named, in order. Full batches are inserted at once."""
        self._waiting.append(values + self._rest)
        if len(self._waiting) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Insert the rows that wait in memory; call it at the end."""
        rows, self._waiting = self._waiting, []
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY {self._table} FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            else:
                cursor.executemany(f"INSERT INTO {self._table} VALUES ({self._marks})", rows)  # noqa: S608 - names


def _default(field: models.Field[Any, Any]) -> Any:
    if isinstance(field, models.DateTimeField) and (field.auto_now or field.auto_now_add):
        return moment(timezone.now())
    value = field.get_default()
    if isinstance(value, datetime):
        return moment(value)
    return json.dumps(value) if isinstance(field, models.JSONField) and value is not None else value


def next_pk(model: type[models.Model]) -> int:
    """The pk after the highest one of the table."""
    return (model._base_manager.aggregate(last=models.Max("pk"))["last"] or 0) + 1


@contextmanager
def in_bulk(models_written: Sequence[type[models.Model]]) -> Iterator[None]:
    """A context for large writes: commits do not wait for the disk. The settings are restored even after a failure.

    PostgreSQL's word index is dropped and created again at the end, which takes a tenth of the time of a million
    insertions.
    """
    inside = _in_postgresql(models_written) if connection.vendor == "postgresql" else _in_sqlite()
    with inside:
        yield


@contextmanager
def _in_postgresql(models_written: Sequence[type[models.Model]]) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'message_search_words'")
        (definition,) = cursor.fetchone()
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute("DROP INDEX message_search_words")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(definition)
            for statement in connection.ops.sequence_reset_sql(no_style(), list(models_written)):
                cursor.execute(statement)
            cursor.execute("RESET synchronous_commit")
            cursor.execute("RESET maintenance_work_mem")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # autovacuum would do this a minute later


@contextmanager
def _in_sqlite() -> Iterator[None]:
    with connection.cursor() as cursor:
        (synchronous,) = cursor.execute("PRAGMA synchronous").fetchone()
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.execute("PRAGMA cache_size = -400000")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA cache_size = -2000")
            cursor.execute(f"PRAGMA synchronous = {int(synchronous)}")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
