"""A row that another process has locked for longer than anybody waits (PostgreSQL's lock_timeout, see settings)."""

from __future__ import annotations

from django.db import DatabaseError
from django.utils.translation import gettext

LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE


def is_locked_by_another(error: BaseException) -> bool:
    return isinstance(error, DatabaseError) and getattr(error.__cause__, "sqlstate", None) == LOCK_NOT_AVAILABLE


def in_words(error: DatabaseError) -> str:
    """What a person is told of a statement that failed, of which nothing was written."""
    if is_locked_by_another(error):
        return gettext("Another process is busy with this at the moment. Nothing was changed: try again.")
    return gettext("The database refused: %(error)s. Try again.") % {"error": error}
