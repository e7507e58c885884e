"""This thread's database connection, for what asks for it several times a mail."""

from __future__ import annotations

import asyncio
import threading

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper


class _Kept(threading.local):
    connection: BaseDatabaseWrapper | None = None


_kept = _Kept()


def own_connection() -> BaseDatabaseWrapper:
    """What `connections` keeps for this thread: looking it up there takes as long as a statement of SQLite's.

    Beside a running event loop `connections` keeps one a task, not a thread, and is asked each time: delivery hides its
    loop where it asks the database (`database.outside_of_the_loop`), others may not.
    """
    if asyncio._get_running_loop() is not None:
        return connections[DEFAULT_DB_ALIAS]
    if _kept.connection is None:
        _kept.connection = connections[DEFAULT_DB_ALIAS]
    return _kept.connection
