"""Runs raw SQL, for statements that are needed so often that the ORM would take most of the time.

The same text serves SQLite and PostgreSQL, with %s for each value. Datetimes are converted to and from the backend's
form, and JSON columns are texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from typing import Any, Generic, TypeVar

from django.db import connection, models, transaction

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
    is_watched = db.execute_wrappers or db.force_debug_cursor
    if not _is_sqlite() or is_watched or db.connection is None:
        with db.cursor() as cursor:
            cursor.execute(sql, values)
            return answer(cursor)
    # Without Django's cursor, which takes three times as long as such a statement of SQLite.
    with db.wrap_database_errors:
        return answer(db.connection.execute(sql.replace("%s", "?"), values))


class RowReader(Generic[M]):
    """Makes rows of a model from the values of raw queries: the ORM takes ten times as long.

    columns: for the SELECT. names: of the attributes, in the same order; all of the model's if none is given. Others
    are read when they are first used.
    """

    def __init__(self, model: type[M], *names: str) -> None:
        self._fields = [field for field in model._meta.concrete_fields if not names or field.attname in names]
        self._model, self.names = model, tuple(field.attname for field in self._fields)
        self.columns = ", ".join(f'"{model._meta.db_table}"."{field.column}"' for field in self._fields)

    def read(self, values: Sequence[Any]) -> M:
        """A row from the values of `columns`; more may follow them."""
        taken = list(values[: len(self.names)])
        for place, convert in self._converters:
            if taken[place] is not None:
                taken[place] = convert(taken[place])
        return self._model.from_db(own_connection().alias, self.names, taken)

    @cached_property
    def _converters(self) -> list[tuple[int, Callable[[Any], Any]]]:
        return [(place, convert) for place, field in enumerate(self._fields) for convert in _converters_of(field)]


def _converters_of(field: models.Field[Any, Any]) -> list[Callable[[Any], Any]]:
    """Those that the ORM applies to a column's value; for datetimes a faster one."""
    if isinstance(field, models.DateTimeField):
        return [as_datetime]
    column = field.get_col(field.model._meta.db_table)
    found = (*connection.ops.get_db_converters(column), *column.get_db_converters(connection))
    return [partial(_converted, convert, column) for convert in found]


def _converted(convert: Callable[[Any, Any, Any], Any], column: Any, value: Any) -> Any:
    return convert(value, column, connection)


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
