"""Removes the statistics of SQLite's query planner: the lists are fast without them. PostgreSQL keeps its own.

ANALYZE, also with a limit and as PRAGMA optimize, makes the lists slow, since SQLite then plans without regard to the
LIMIT of fifty rows. With statistics of twenty accounts it begins a list of a million messages with the accounts and
sorts all messages; with statistics of messages but not of attachments it begins the list of attachments with the
messages. At a million messages the page of attachments took 1.4 s with statistics and 30 ms without; no page that has
an index for its query was faster with them (tests/test_list_plans.py).
"""

from __future__ import annotations

from django.db import connection


def forget_statistics() -> int:
    """Delete the statistics that somebody's ANALYZE has stored; return how many rows.

    Open connections use their old statistics until they are reopened, after CONN_MAX_AGE or the life of a worker.
    """
    if connection.vendor != "sqlite":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_schema WHERE name IN ('sqlite_stat1', 'sqlite_stat4')")
        removed = 0
        for (table,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - one of the two names above
            removed += cursor.rowcount
        if removed:
            cursor.execute("ANALYZE sqlite_schema")  # makes this connection reload the statistics
    return removed
