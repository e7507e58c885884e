"""Counts failures of the database, of all processes, for /metrics: each in memory, added to the table when it answers.

What counts is trouble with the database or the connection to it (`is_trouble`), whether or not the caller survives it.
"""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime
from types import TracebackType
from typing import Any

from django.db import DataError, OperationalError, connection
from django.db.backends.signals import connection_created
from django.db.utils import DatabaseErrorWrapper

from mailbox.db.errors import blames_the_statement, blames_the_value, is_trouble
from mailbox.db.lock_timeout import is_locked_by_another

# "waited": for a lock, or for longer than a statement may take, or a deadlock. "unreachable": no connection, or it
# broke. "refused": all else, as by a full disk.
KINDS = ("waited", "unreachable", "refused")
_DEADLOCK = "40P01"
# SQLSTATE classes of PostgreSQL: connection exception, operator intervention (as by a restart).
_UNREACHABLE = ("08", "57")

_lock = threading.Lock()
_counts = Counter[str]()


class CountingErrorWrapper(DatabaseErrorWrapper):
    """Django's, which every statement and every connect runs in; it also counts.

    It raises DataError where a value is too large for PostgreSQL: by OperationalError, a mail that no row can hold
    would stop its account at each sync, as a database that is away does. And it raises OperationalError, as SQLite
    does, where no value is to blame: else all mail would be put aside while a table lacks a column or a right.
    """

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is None:
            return
        try:
            super().__exit__(exc_type, exc_value, traceback)
        except Exception as error:
            if blames_the_value(error):
                raise DataError(*error.args).with_traceback(error.__traceback__) from error.__cause__
            if blames_the_statement(error):
                raise OperationalError(*error.args).with_traceback(error.__traceback__) from error.__cause__
            if is_trouble(error):
                note(kind_of(error))
            raise


def kind_of(error: BaseException) -> str:
    """One of KINDS, for an exception for which is_trouble() holds."""
    state = getattr(error.__cause__, "sqlstate", None) or ""
    if is_locked_by_another(error) or state == _DEADLOCK:
        return "waited"
    is_of_sqlite = getattr(error.__cause__, "sqlite_errorcode", None) is not None
    return "unreachable" if state.startswith(_UNREACHABLE) or not (state or is_of_sqlite) else "refused"


def count_from_now_on(connection: Any, **_: Any) -> None:
    """Receiver of connection_created. The object lives as long as its thread: connects that fail later count, too."""
    if not isinstance(connection.wrap_database_errors, CountingErrorWrapper):
        connection.wrap_database_errors = CountingErrorWrapper(connection)


def start() -> None:
    """Count in this process and in those that it forks."""
    connection_created.connect(count_from_now_on, dispatch_uid="mailbox.db.failures")


def note(kind: str) -> None:
    """Count one failure in memory."""
    with _lock:
        _counts[kind] += 1


def flush(host: str, now: datetime) -> None:
    """Add what this process has counted to the rows of this host, by one statement. Raises DatabaseError, and then
    keeps the counts for the next call."""
    with _lock:
        taken = Counter(_counts)
        _counts.clear()
    if not taken:
        return
    at = connection.ops.adapt_datetimefield_value(now)
    places = ", ".join(["(%s, %s, %s, %s)"] * len(taken))
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                f"""INSERT INTO "database_failures" ("host", "kind", "number", "last_at") VALUES {places}
                ON CONFLICT ("host", "kind") DO UPDATE SET "last_at" = EXCLUDED."last_at",
                "number" = "database_failures"."number" + EXCLUDED."number\"""",  # noqa: S608 - only placeholders
                [value for kind, number in sorted(taken.items()) for value in (host, kind, number, at)],
            )
    except Exception:
        with _lock:
            _counts.update(taken)
        raise
