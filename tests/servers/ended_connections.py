"""PostgreSQL ends the connections of all others at random instants, as an administrator or a failover does."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, connections

END = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@contextmanager
def connections_ended(times: int, longest: float = 0.06) -> Iterator[list[int]]:
    """End every other connection so many times, at any instant, `longest` seconds apart at most; how many there were
    each time."""
    over, chance, ended = threading.Event(), random.Random(7), list[int]()

    def run() -> None:
        for _ in range(times):
            if over.wait(chance.uniform(0.005, longest)):
                break
            with connection.cursor() as cursor:
                cursor.execute(END)
                ended.append(len(cursor.fetchall()))
        connections.close_all()

    ender = threading.Thread(target=run)
    ender.start()
    try:
        yield ended
    finally:
        over.set()
        ender.join()
