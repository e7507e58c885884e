"""Recognizes statements that failed because another process held a lock, or that ran into a time-out (PostgreSQL)."""

from __future__ import annotations

import sqlite3

from django.db import DatabaseError, InterfaceError
from django.utils.translation import gettext

# SQLSTATEs: lock_not_available (lock_timeout) and query_canceled (statement_timeout).
WAITED_IN_VAIN = frozenset({"55P03", "57014"})


def is_locked_by_another(error: BaseException) -> bool:
    """Whether the statement waited too long for a lock (SQLITE_BUSY), or its time was over (WAITED_IN_VAIN)."""
    cause = error.__cause__
    if not isinstance(error, DatabaseError):
        return False
    if isinstance(cause, sqlite3.OperationalError):  # the busy timeout is over; extended codes keep it in the low byte
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(cause, "sqlstate", None) in WAITED_IN_VAIN


def in_words(error: DatabaseError | InterfaceError) -> str:
    """A sentence for people and API clients about a statement that failed and wrote nothing.

    The database's own message is not shown, as it may name hosts and statements: it belongs in the log.
    """
    if is_locked_by_another(error):
        return gettext("Another process is busy with this at the moment. Nothing was changed: try again.")
    return gettext("The database does not answer, or refuses. Try again in a moment.")
