"""Runs raw SQL, for statements that are needed so often that the ORM would take most of the time.

The same text serves SQLite and PostgreSQL, with %s for each value. Datetimes are converted to and from the backend's
form, and JSON columns are texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

from django.db import models, transaction

from mailbox.db.own_connection import own_connection

M = TypeVar("M", bound=models.Model)


@cache
def _is_sqlite() -> bool:
    return own_connection().vendor == "sqlite"


def instant(value: datetime | None) -> Any:
    """A datetime in the form in which the backend stores it."""
    if value is not None and value.tzinfo is UTC and _is_sqlite():
        return str(value.replace(tzinfo=None))  # the same result as below, in a tenth of the time
    return None if value is None else own_connection().ops.adapt_datetimefield_value(value)


def as_datetime(value: Any) -> datetime:
    """A datetime of a raw query as an aware datetime: SQLite returns a text, or a naive datetime in UTC."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def in_transaction() -> AbstractContextManager[object]:
    """A transaction; within one, that one."""
    return nullcontext() if own_connection().in_atomic_block else transaction.atomic()


def changed(sql: str, values: Iterable[Any]) -> int:
    """Run an UPDATE; return the number of changed rows."""
    return int(_run(sql, tuple(values), lambda cursor: cursor.rowcount))


def rows(sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Run a SELECT, or an UPDATE with RETURNING, and return its rows."""
    return list(_run(sql, tuple(values), lambda cursor: cursor.fetchall()))


def _run(sql: str, values: tuple[Any, ...], answer: Callable[[Any], Any]) -> Any:
    db = own_connection()
    is_watched = db.execute_wrappers or db.queries_logged
    if not _is_sqlite() or is_watched or db.connection is None:
        with db.cursor() as cursor:
            cursor.execute(sql, values)
            return answer(cursor)
    # Without Django's cursor, which takes three times as long as such a statement of SQLite.
    with db.wrap_database_errors:
        return answer(db.connection.execute(sql.replace("%s", "?"), values))


def columns(model: type[models.Model], *names: str) -> str:
    """The columns of a model's table for a SELECT, in the order in which row_of() takes their values."""
    table, fields = model._meta.db_table, model._meta.concrete_fields
    return ", ".join(f'"{table}"."{field.column}"' for field in fields if field.attname in names)


def row_of(model: type[M], names: Collection[str], values: Iterable[Any]) -> M:
    """A row from the values of columns(model, *names). Other columns are read when they are first used."""
    given = iter(values)
    fields = [field for field in model._meta.concrete_fields if field.attname in names]
    return model.from_db(own_connection().alias, names, [_value(field, next(given)) for field in fields])


def _value(field: models.Field[Any, Any], value: Any) -> Any:
    if value is not None and isinstance(field, models.DateTimeField):
        return as_datetime(value)
    return json.loads(value) if value is not None and isinstance(field, models.JSONField) else value


@cache
def _insert_of(
    model: type[models.Model], given: tuple[str, ...], count: int, vendor: str
) -> tuple[str, tuple[Any, ...]]:
    """(an INSERT of all columns, the values of those that are not `given`): so a column added later needs no change."""
    others = [field for field in model._meta.concrete_fields if not field.primary_key and field.attname not in given]
    columns = ", ".join(f'"{name}"' for name in (*given, *(field.column for field in others)))
    places = ", ".join(["%s"] * (len(given) + len(others)))
    values = ", ".join([f"({places})"] * count)
    db = own_connection()
    defaults = tuple(field.get_db_prep_save(field.get_default(), db) for field in others)
    sql = f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES {values} RETURNING "id", '  # noqa: S608 - names of ours
    return sql, defaults


def insert(model: type[models.Model], found_by: str, new: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
    """Insert rows; return value of the column `found_by` -> pk.

    Values are in the backend's form; columns that are not given get their defaults, which must be constant.
    """
    sql, defaults = _insert_of(model, tuple(new[0]), len(new), own_connection().vendor)
    values = [value for row in new for value in (*row.values(), *defaults)]
    return {value: int(pk) for pk, value in rows(f'{sql}"{found_by}"', values)}
