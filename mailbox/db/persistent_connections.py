"""Keeps SQLite connections open for longer than one request.

Opening one takes three milliseconds of CPU time; closing the last one moves the whole write-ahead log into the database
and waits for the disk. Both cost more than all else that a small request does. A restore writes into the existing file,
so open connections see its data.
"""

from __future__ import annotations

from django.db import connections

SECONDS = 60


def make_connections_persistent() -> None:
    """Keep this process's SQLite connections for SECONDS. Call it before the first connection, in a process that
    answers many requests by many threads. On PostgreSQL the settings do so."""
    database = connections.settings["default"]
    if database["ENGINE"] == "django.db.backends.sqlite3" and not database.get("CONN_MAX_AGE"):
        database["CONN_MAX_AGE"] = SECONDS
        # A smaller page cache, as now each thread keeps one all the time, not only during a request.
        database["OPTIONS"]["init_command"] += " PRAGMA cache_size=-4096;"
