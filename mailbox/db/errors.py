"""Which exceptions mean that the database or the connection to it fails, rather than the statement."""

from __future__ import annotations

import sqlite3
from typing import Any

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError

from mailbox.db.own_connection import own_connection

# InternalError: PostgreSQL ended the transaction by a limit of its own (SQLSTATE class 25: a worker was idle in it for
# longer than idle_in_transaction_session_timeout). The next attempt gets a new connection.
DATABASE_TROUBLE = (OperationalError, InterfaceError, InternalError)


def is_trouble(error: BaseException) -> bool:
    """Whether the database is unreachable or refuses to work (full, read-only), and the statement is not the cause.

    A missing table or right is an OperationalError, too (see blames_the_statement), which does not count.
    """
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    is_statements = blames_the_statement(error) or (code is not None and code & 0xFF == sqlite3.SQLITE_ERROR)
    return isinstance(error, DATABASE_TROUBLE) and not is_statements


def blames_the_value(error: BaseException) -> bool:
    """Whether PostgreSQL refused the statement because a value in it exceeds a limit of the program (SQLSTATE class 54:
    an index row of more than 2,704 bytes, a text too long for a tsvector).

    psycopg and so Django file these under OperationalError, as a full disk or a server that is away.
    """
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return isinstance(error, OperationalError) and state.startswith("54")


def blames_the_statement(error: BaseException) -> bool:
    """Whether PostgreSQL refused the statement whatever its values are: a table, a column or a right is missing, as
    amid an upgrade (SQLSTATE class 42), a feature (0A), or a trigger fails (P0).

    Django raises ProgrammingError then, and OperationalError where SQLite says so.
    """
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return isinstance(error, DatabaseError) and state.startswith(("0A", "42", "P0"))


def close_if_broken() -> None:
    """Close this thread's connection if a statement has failed and it no longer works, so that the next opens another.

    One that works stays open whatever its age: opening one of SQLite takes three milliseconds of CPU time. Not within a
    transaction, which has to be rolled back first.
    """
    db: Any = own_connection()
    if db.in_atomic_block:
        return
    if db.errors_occurred:
        db.close_if_unusable_or_obsolete()
    db.health_check_done = False  # with CONN_HEALTH_CHECKS, try it before the next statement
