"""Which exceptions mean that the database or the connection to it fails, rather than the statement."""

from __future__ import annotations

import sqlite3

from django.db import InterfaceError, InternalError, OperationalError

# InternalError: PostgreSQL ended the transaction by a limit of its own (SQLSTATE class 25: a worker was idle in it for
# longer than idle_in_transaction_session_timeout). The next attempt gets a new connection.
DATABASE_TROUBLE = (OperationalError, InterfaceError, InternalError)


def is_trouble(error: BaseException) -> bool:
    """Whether the database is unreachable or refuses to work (full, read-only), and the statement is not the cause.

    SQLite raises OperationalError for a missing table too, which does not count.
    """
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return isinstance(error, DATABASE_TROUBLE) and (code is None or code & 0xFF != sqlite3.SQLITE_ERROR)
