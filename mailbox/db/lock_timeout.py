"""What waited in vain for another process: a locked row, or a statement over its time (PostgreSQL, see settings)."""

from __future__ import annotations

import sqlite3

from django.db import DatabaseError, InterfaceError
from django.utils.translation import gettext

# SQLSTATEs: lock_not_available (lock_timeout) and query_canceled (statement_timeout).
WAITED_IN_VAIN = frozenset({"55P03", "57014"})


def is_locked_by_another(error: BaseException) -> bool:
    cause = error.__cause__
    if not isinstance(error, DatabaseError):
        return False
    if isinstance(cause, sqlite3.OperationalError):  # the busy timeout is over; extended codes keep it in the low byte
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(cause, "sqlstate", None) in WAITED_IN_VAIN


def in_words(error: DatabaseError | InterfaceError) -> str:
    """What a person or a program is told of a statement that failed, of which nothing was written.

    The database's own words name hosts and statements: they belong into the log.
    """
    if is_locked_by_another(error):
        return gettext("Another process is busy with this at the moment. Nothing was changed: try again.")
    return gettext("The database does not answer, or refuses. Try again in a moment.")
