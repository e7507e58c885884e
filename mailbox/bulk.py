"""Many new rows at once in a fraction of bulk_create()'s time: a value goes from its object to the database as it is,
but for the few kinds that a database wants said in its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from django.db import connection, models
from django.utils import timezone

MAX_PARAMETERS = 30_000  # of a statement: SQLite takes 32,766, PostgreSQL 65,535
# These are written as they are; a DateTimeField by the backend's own words, a JSONField likewise.
_PLAIN = (
    models.CharField,
    models.TextField,
    models.BooleanField,
    models.IntegerField,
    models.ForeignKey,
)


@cache
def _fields(model: type[models.Model]) -> tuple[list[models.Field[Any, Any]], Callable[[Any], tuple[Any, ...]]]:
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    for field in fields:
        if not isinstance(field, (*_PLAIN, models.DateTimeField, models.JSONField)):
            raise TypeError(f"{field} is of a kind that is not written as it is.")
    return fields, attrgetter(*(field.attname for field in fields))


def _rows(model: type[models.Model], objects: Iterable[models.Model]) -> list[list[Any]]:
    """The values of each object, in the order of the columns."""
    fields, values_of = _fields(model)
    stamps = [field.attname for field in fields if getattr(field, "auto_now", False)]
    stamps += [field.attname for field in fields if getattr(field, "auto_now_add", False)]
    dates = [place for place, field in enumerate(fields) if isinstance(field, models.DateTimeField)]
    documents = [(place, field) for place, field in enumerate(fields) if isinstance(field, models.JSONField)]
    said_date, now = connection.ops.adapt_datetimefield_value, timezone.now()
    rows = []
    for each in objects:
        for name in stamps:
            setattr(each, name, now)
        row = list(values_of(each))
        for place in dates:
            row[place] = said_date(row[place])
        for place, field in documents:
            row[place] = field.get_db_prep_save(row[place], connection)
        rows.append(row)
    return rows


def _statement(model: type[models.Model], verb: str) -> str:
    named = ", ".join(connection.ops.quote_name(field.column) for field in _fields(model)[0])
    return f"{verb} INTO {connection.ops.quote_name(model._meta.db_table)} ({named}) VALUES "


def insert(objects: Sequence[models.Model]) -> None:
    """Insert these objects, all of one model with an automatic primary key, which they get. As bulk_create() does,
    but no signal and no check of a value; the database's own refusals come through."""
    if not objects:
        return
    model = type(objects[0])
    rows = _rows(model, objects)
    one = f"({', '.join(['%s'] * len(rows[0]))})"
    begin = _statement(model, "INSERT")
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for each, row in zip(objects, rows, strict=True):
                cursor.execute(begin + one, row)
                each.pk = cursor.lastrowid
        else:
            column = connection.ops.quote_name(str(model._meta.pk.column))
            step = max(1, MAX_PARAMETERS // len(rows[0]))
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                parameters = [value for row in part for value in row]
                cursor.execute(f"{begin}{', '.join([one] * len(part))} RETURNING {column}", parameters)
                for each, (pk,) in zip(objects[start : start + step], cursor.fetchall(), strict=True):
                    each.pk = pk
    for each in objects:
        each._state.adding, each._state.db = False, connection.alias


def insert_missing(objects: Sequence[models.Model]) -> int:
    """Insert those whose unique values no row has yet, of one model; return how many. No primary key is set."""
    if not objects:
        return 0
    model = type(objects[0])
    rows = _rows(model, objects)
    one = f"({', '.join(['%s'] * len(rows[0]))})"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.executemany(_statement(model, "INSERT OR IGNORE") + one, rows)
            return int(cursor.rowcount)
        parameters = [value for row in rows for value in row]
        statement = f"{_statement(model, 'INSERT')}{', '.join([one] * len(rows))} ON CONFLICT DO NOTHING"
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)
