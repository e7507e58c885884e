"""A pooler before PostgreSQL (PgBouncer), and the check that it and PRX_EMAIL_DATABASE_POOLING fit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

ROUNDS = 5  # with others at work, two statements in a row may by chance run in two sessions


def pooling_is_said(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Refuse a pooler that hands out transactions unless the settings say so; warn if waits for locks have no limit."""
    if not databases or connection.vendor != "postgresql":
        return []
    try:
        shared, lock_timeout = sessions_are_shared(), _lock_timeout()
    except DatabaseError:
        return []  # the database is unavailable
    if shared and settings.DATABASE_POOLING != "transaction":
        return [
            Error(
                "A pooler hands each transaction of this site to whichever session of PostgreSQL is free.",
                hint="Set PRX_EMAIL_DATABASE_POOLING=transaction, or the pooler to pool_mode=session.",
                id="prx_email_site.E002",
            )
        ]
    if settings.DATABASE_POOLING == "transaction" and settings.DATABASE_LOCK_SECONDS and lock_timeout == "0":
        return [
            Warning(
                "Nothing limits how long the site waits for a row that a frozen process holds.",
                hint=f"The pooler passes none on: ALTER ROLE … SET lock_timeout = '{settings.DATABASE_LOCK_SECONDS}s'.",
                id="prx_email_site.W007",
            )
        ]
    return []


def sessions_are_shared() -> bool:
    """Whether two connections of ours, open at once, are served by one session of PostgreSQL. Raises DatabaseError."""
    with closing(connection.copy("first")) as first, closing(connection.copy("second")) as second:
        pids: dict[BaseDatabaseWrapper, set[int]] = {first: set(), second: set()}
        for _ in range(ROUNDS):
            for each, found in pids.items():
                with each.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    found.add(cursor.fetchone()[0])
        return bool(pids[first] & pids[second])


def _lock_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return str(cursor.fetchone()[0])
