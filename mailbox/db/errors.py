"""Which exceptions mean that the database or the way to it fails, and not the statement."""

from __future__ import annotations

import sqlite3

from django.db import InterfaceError, InternalError, OperationalError

# InternalError: a PostgreSQL that ended the transaction for its own limits (SQLSTATE class 25: a worker that slept in
# it for longer than idle_in_transaction_session_timeout). The next try finds a fresh connection.
DATABASE_TROUBLE = (OperationalError, InterfaceError, InternalError)


def is_trouble(error: BaseException) -> bool:
    """Whether the database is away or refuses (full, read-only), rather than what was asked of it being wrong: SQLite
    calls a missing table an OperationalError as well."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return isinstance(error, DATABASE_TROUBLE) and (code is None or code & 0xFF != sqlite3.SQLITE_ERROR)
