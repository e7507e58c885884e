"""SQLite connections that last for longer than one request.

To open one takes three milliseconds of a processor, and the last one that is closed moves the whole write-ahead log
into the database and waits for the disk: more than all else that a small request does. A restore writes into the file
that is there, so that a connection that is open sees it.
"""

from __future__ import annotations

from django.db import connections

SECONDS = 60


def make_connections_persistent() -> None:
    """In this process, before it connects: for one that answers many requests by many threads. On PostgreSQL they are
    kept by the settings."""
    database = connections.settings["default"]
    if database["ENGINE"] == "django.db.backends.sqlite3" and not database.get("CONN_MAX_AGE"):
        database["CONN_MAX_AGE"] = SECONDS
        # Each of the threads keeps these pages now, not only the few that are asked at this moment.
        database["OPTIONS"]["init_command"] += " PRAGMA cache_size=-4096;"
