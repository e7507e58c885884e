"""Two transactions that wait for each other: PostgreSQL aborts one, and it is run again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection, connections, transaction

from mailbox.db.deadlocks import MOST_DEADLOCKS, committed, is_deadlock
from mailbox.models import Account, Folder
from tests.rows import folder_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folders(account: Account) -> list[Folder]:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time.")
    return [folder_of(account, name) for name in ("One", "Two")]


def crosswise(folders: list[Folder], run: Callable[[Callable[[], None]], object]) -> list[Exception]:
    """Two threads each write the two rows, in opposite orders, each its second once both have written their first."""
    both_hold = threading.Barrier(2, timeout=30)
    errors: list[Exception] = []

    def write(first: Folder, second: Folder) -> None:
        runs: list[int] = []

        def work() -> None:
            runs.append(1)
            Folder.objects.filter(pk=first.pk).update(delimiter=".")
            if len(runs) == 1:
                both_hold.wait()
            Folder.objects.filter(pk=second.pk).update(delimiter=".")

        try:
            run(work)
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=pair) for pair in (folders, folders[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


def test_the_one_that_was_aborted_is_run_again(folders: list[Folder]) -> None:
    assert crosswise(folders, committed) == []
    assert set(Folder.objects.values_list("delimiter", flat=True)) == {"."}


def test_within_a_callers_transaction_the_error_is_raised_as_all_of_it_was_aborted(folders: list[Folder]) -> None:
    @transaction.atomic
    def in_anothers(work: Callable[[], None]) -> None:
        committed(work)

    (error,) = crosswise(folders, in_anothers)
    assert is_deadlock(error)


def test_another_failure_and_a_deadlock_without_end_are_raised(account: Account) -> None:
    class Deadlock(Exception):
        sqlstate = "40P01"

    tried: list[int] = []

    def fails(cause: Exception) -> None:
        tried.append(1)
        raise OperationalError from cause

    for cause, times in ((Deadlock(), MOST_DEADLOCKS), (Exception(), 1)):
        tried.clear()
        with pytest.raises(OperationalError):
            committed(lambda cause=cause: fails(cause))  # type: ignore[misc]
        assert len(tried) == times
