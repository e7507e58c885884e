"""This thread's database connection, for code that needs it several times a mail."""

from __future__ import annotations

import asyncio
import threading

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper


class _Kept(threading.local):
    connection: BaseDatabaseWrapper | None = None


_kept = _Kept()


def own_connection() -> BaseDatabaseWrapper:
    """Django's connection of this thread, cached: looking it up in `connections` takes as long as a SQLite statement.

    Beside a running event loop `connections` has one for each task, so nothing is cached then. (Delivery hides its
    loop: `database.outside_of_the_loop`.)
    """
    if asyncio._get_running_loop() is not None:
        return connections[DEFAULT_DB_ALIAS]
    if _kept.connection is None:
        _kept.connection = connections[DEFAULT_DB_ALIAS]
    return _kept.connection
