"""Empty the tables after a test that commits, in a fraction of the time of Django's flush.

Flush deletes from all tables and then makes permissions, content types, groups and schedules anew: a tenth of a second
of computing after each of more than a thousand tests, and more on PostgreSQL, which truncates empty tables too. Here
the rows that a flush leaves are remembered; while they are unchanged, only what holds anything else is emptied. As soon
as a test changed one of them (a cluster moves its schedules on) Django's own flush puts them in order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction
from django.test import TransactionTestCase

FEW = 200
MOST_FREE_PAGES = 1000  # 4 MiB
Rows = dict[str, list[tuple[Any, ...]]]
_django_flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
_left_by_flush: Rows = {}


def use_for_transaction_tests() -> None:
    TransactionTestCase._fixture_teardown = _empty  # type: ignore[attr-defined]


def _empty(case: TransactionTestCase) -> None:
    _empty_tables(case)
    if connection.vendor == "sqlite":
        _return_free_pages()


def _return_free_pages() -> None:
    """SQLite's file keeps the size that a test has given it, and a backup onto a small disk copies all of it."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA freelist_count")
        if cursor.fetchone()[0] > MOST_FREE_PAGES:
            with contextlib.suppress(OperationalError):  # a thread of the test still reads: after the next test
                cursor.execute("VACUUM")


def _empty_tables(case: TransactionTestCase) -> None:
    try:
        with transaction.atomic():  # a browser's last request may still be answered: nothing is written in between
            filled = _filled_tables()
            if _left_by_flush and _rows_of(_left_by_flush) == _left_by_flush:
                _delete([table for table in filled if table not in _left_by_flush])
                return
    except IntegrityError:  # PostgreSQL: it was written in between
        pass
    _django_flush(case)
    _left_by_flush.clear()
    _left_by_flush.update(_rows_of(_filled_tables()))


def _filled_tables() -> list[str]:
    """Those of the tables that flush empties which hold a row; asked anew, as tests drop tables and make them."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(table)})" for table in tables
            )
        )
        return [table for (table,) in cursor.fetchall()]


def _rows_of(tables: Sequence[str] | Rows) -> Rows:
    rows: Rows = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows[table] = sorted(cursor.fetchall(), key=repr)
    return rows


def _delete(tables: list[str]) -> None:
    if not tables:
        return
    names = [connection.ops.quote_name(table) for table in tables]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and _holds_many(names):
            # CASCADE reaches only tables that refer to an emptied one, and their rows could not outlive it.
            cursor.execute(f"TRUNCATE {', '.join(names)} CASCADE")
            return
        for name in names:  # in any order: foreign keys are deferred to the commit
            cursor.execute(f"DELETE FROM {name}")


def _holds_many(names: list[str]) -> bool:
    """PostgreSQL makes new files for a table and each of its indexes to truncate it, but asks for foreign keys row by
    row to delete."""
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"(SELECT 1 FROM {name} OFFSET {FEW} LIMIT 1)" for name in names))
        return cursor.fetchone() is not None
