"""Inserts many rows in a fraction of bulk_create()'s time.

Values are passed to the database without the fields' conversions, except dates on SQLite and JSON. One statement writes
many rows, since at each step of a statement the interpreter may switch to another thread of the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from django.db import connection, models
from django.db.models.base import ModelState
from django.utils import timezone

from mailbox.db import statements

MAX_PARAMETERS = 15_000  # of a statement; SQLite's limit is 32,766, PostgreSQL's 65,535
# Values of these fields are passed unchanged; those of DateTimeField and JSONField are converted (see _rows).
_PLAIN = (
    models.CharField,
    models.TextField,
    models.BooleanField,
    models.IntegerField,
    models.FloatField,
    models.ForeignKey,
)
PARTS = (128, 32, 8, 2, 1)  # rows of one statement
M = TypeVar("M", bound=models.Model)
R = TypeVar("R")


@cache
def _defaults(model: type[models.Model]) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    fixed: dict[str, Any] = {}
    made: dict[str, Callable[[], Any]] = {}
    for field in model._meta.concrete_fields:
        if callable(field.default) and field.has_default():
            made[field.attname] = field.default
        else:
            fixed[field.attname] = field.get_default()
    return fixed, made


def blank(model: type[M]) -> M:
    """A new object with the fields' defaults, as Model() makes it but in a tenth of the time. Sends no signals."""
    fixed, made = _defaults(model)
    new = model.__new__(model)
    new.__dict__.update(fixed)
    for name, default in made.items():
        new.__dict__[name] = default()
    new.__dict__["_state"] = ModelState()
    return new


@dataclass(frozen=True)
class _Table:
    """What inserts into a model's table need; made once."""

    begin: str  # of the INSERT. It contains only names of our own tables and columns; values are parameters
    row: str  # the placeholders of one row
    values_of: Callable[[Any], tuple[Any, ...]]  # in the order of the columns
    stamps: list[str]  # fields that are set to the present time
    dates: list[int]  # positions of datetimes that the backend does not take as they are
    documents: list[tuple[int, models.JSONField]]
    nothing: Any  # the JSON of an empty list
    pk: str  # its column


@cache
def _table(model: type[models.Model], vendor: str) -> _Table:
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    for field in fields:
        if not isinstance(field, (*_PLAIN, models.DateTimeField, models.JSONField)):
            raise TypeError(f"{field} is of a kind that is not written as it is.")
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    kept = ("auto_now", "auto_now_add")
    is_sqlite = vendor == "sqlite"
    return _Table(
        begin=f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ",  # noqa: S608 - see above
        row=f"({', '.join(['%s'] * len(fields))})",
        values_of=attrgetter(*(field.attname for field in fields)),
        stamps=[field.attname for field in fields if any(getattr(field, name, False) for name in kept)],
        dates=[at for at, field in enumerate(fields) if is_sqlite and isinstance(field, models.DateTimeField)],
        documents=[(at, field) for at, field in enumerate(fields) if isinstance(field, models.JSONField)],
        nothing=connection.ops.adapt_json_value([], None),
        pk=quote(str(model._meta.pk.column)),
    )


def _date_for_sqlite(value: datetime | None) -> str | None:
    if value is None:
        return None
    if value.tzinfo is UTC:  # the usual case; Django converts the others
        return str(value)[:-6]
    said: str | None = connection.ops.adapt_datetimefield_value(value)
    return said


def _rows(table: _Table, objects: Sequence[models.Model]) -> list[list[Any]]:
    """The values of each object, in the order of the columns. Sets auto_now and auto_now_add fields."""
    now = timezone.now()
    rows = []
    for each in objects:
        for name in table.stamps:
            each.__dict__[name] = now
        row = list(table.values_of(each))
        for at in table.dates:
            row[at] = _date_for_sqlite(row[at])
        for at, field in table.documents:
            row[at] = table.nothing if row[at] == [] else field.get_db_prep_save(row[at], connection)
        rows.append(row)
    return rows


def _statements(table: _Table, parted: Iterable[Sequence[Sequence[Any]]]) -> Iterator[tuple[str, list[Any]]]:
    for part in parted:
        yield table.begin + ", ".join([table.row] * len(part)), [value for row in part for value in row]


def parts(rows: Sequence[R]) -> Iterator[Sequence[R]]:
    """Split the rows into parts of the sizes in PARTS only, so that there are few different statements.

    Python's sqlite3 caches each statement with the values it was last run with: a statement for every number of rows,
    each with as many message bodies, would fill the memory.
    """
    start = 0
    for size in PARTS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def insert(objects: Sequence[models.Model]) -> None:
    """Insert the objects, all of one model with an automatic primary key, and set their pk.

    As bulk_create(), but values are not checked. Raises the database's own errors.
    """
    if not objects:
        return
    table = _table(type(objects[0]), connection.vendor)
    pks: list[int] = []
    for statement, parameters in _statements(table, parts(_rows(table, objects))):
        # Both databases number the rows in the order of the statement, but RETURNING may list them in another.
        pks += sorted(pk for (pk,) in statements.rows(f"{statement} RETURNING {table.pk}", parameters))
    for each, pk in zip(objects, pks, strict=True):
        each.pk = pk
        each._state.adding, each._state.db = False, connection.alias


def insert_missing(objects: Sequence[models.Model]) -> int:
    """Insert the objects, all of one model, that break no unique constraint; return how many. Their pk is not set.

    For small rows: up to MAX_PARAMETERS values go in one statement.
    """
    if not objects:
        return 0
    table, count = _table(type(objects[0]), connection.vendor), 0
    rows = _rows(table, objects)
    step = MAX_PARAMETERS // len(rows[0])
    for statement, parameters in _statements(table, (rows[at : at + step] for at in range(0, len(rows), step))):
        count += statements.changed(f"{statement} ON CONFLICT DO NOTHING", parameters)
    return count


def known(model: type[models.Model], column: str, values: Collection[Any], *, also: str = "", **same: Any) -> set[Any]:
    """Which of these values the column has in some row. `same`: columns and the values they must have; `also`: one
    more condition, in SQL.

    Not by the ORM, which takes longer to build a large IN than the database to answer it.
    """
    found: set[Any] = set()
    quote, ordered = connection.ops.quote_name, list(values)
    where = "".join(f"{quote(name)} = %s AND " for name in same) + (f"{also} AND " if also else "")
    for start in range(0, len(ordered), MAX_PARAMETERS):
        part = ordered[start : start + MAX_PARAMETERS]
        placeholders = ", ".join(["%s"] * len(part))
        rows = statements.rows(
            f"SELECT DISTINCT {quote(column)} FROM {quote(model._meta.db_table)} "  # noqa: S608 - as above
            f"WHERE {where}{quote(column)} IN ({placeholders})",
            [*same.values(), *part],
        )
        found.update(value for (value,) in rows)
    return found
