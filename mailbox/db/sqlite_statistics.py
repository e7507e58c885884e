"""SQLite's planner is to know no statistics, which is how every list here was measured; PostgreSQL keeps its own.

ANALYZE, also in its bounded form and as PRAGMA optimize, makes the lists slow. Told that there are twenty accounts,
SQLite begins a list of a million messages with the accounts and sorts what it finds; told of messages and not of
attachments, it begins the list of these with the messages. It does not see that fifty rows are wanted. At a million
messages the page of attachments took 1.4 s with statistics and 30 ms without; no page was quicker with them that has
an index for what it asks (tests/test_list_plans.py).
"""

from __future__ import annotations

from django.db import connection


def forget_statistics() -> int:
    """Remove what an ANALYZE of somebody's left behind; returns how many rows. Connections that are open see it once
    they are opened again, within CONN_MAX_AGE or the life of a worker."""
    if connection.vendor != "sqlite":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_schema WHERE name IN ('sqlite_stat1', 'sqlite_stat4')")
        removed = 0
        for (table,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - one of the two names above
            removed += cursor.rowcount
        if removed:
            cursor.execute("ANALYZE sqlite_schema")  # has this connection read them again
    return removed
