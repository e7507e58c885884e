"""Transactions that are repeated when PostgreSQL aborts them to end a deadlock.

Syncs write places before their messages, removals a message before its places, and a statement on many rows locks them
in no stated order. So two of them may wait for each other; PostgreSQL then aborts one, of which nothing was written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection, transaction

DEADLOCK = "40P01"  # SQLSTATE
MOST_DEADLOCKS = 5  # in a row, after which the error is raised
T = TypeVar("T")


def is_deadlock(error: BaseException) -> bool:
    """Whether the database aborted the transaction to end a deadlock."""
    return getattr(error.__cause__, "sqlstate", None) == DEADLOCK


def committed(work: Callable[[], T]) -> T:
    """Run `work` in a transaction and return its result; again, from the beginning, after a deadlock.

    `work` keeps nothing of an aborted run.
    """

    def in_transaction() -> T:
        with transaction.atomic():
            return work()

    return repeated(in_transaction)


def repeated(work: Callable[[], T]) -> T:
    """committed() for a `work` that makes its transaction itself.

    Within a caller's transaction the error is raised, as all of that was aborted.
    """
    for number in range(1, MOST_DEADLOCKS + 1):
        try:
            return work()
        except OperationalError as error:
            if not is_deadlock(error) or connection.in_atomic_block or number == MOST_DEADLOCKS:
                raise
    raise AssertionError("The last run returns or raises.")
