"""What several threads write at once is committed by one of them, and each thread gets its own outcome."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection

from mailbox.db import shared_commit
from mailbox.db.shared_commit import Write
from tests.servers.ports import wait_until

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL commits side by side.")


def written_together(pool: ThreadPoolExecutor, number: int) -> list[Future[int]]:
    """So many writes, begun while another thread commits."""
    with shared_commit._turn:
        asked = [pool.submit(shared_commit.write, lambda answer=each: answer) for each in range(number)]
        wait_until(lambda: len(shared_commit._waiting) == number, seconds=30, what="all of them to wait")
    return asked


def carried_out(batch: Sequence[Write]) -> None:
    for each in batch:
        each.answer, each.error = each.act(), None


def test_what_waits_is_committed_by_as_few_commits_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = list[int]()

    def commit(batch: Sequence[Write]) -> None:
        sizes.append(len(batch))
        carried_out(batch)

    monkeypatch.setattr(shared_commit, "commit", commit)
    monkeypatch.setattr(shared_commit, "MOST_AT_ONCE", 3)
    with ThreadPoolExecutor(5) as pool:
        assert [each.result() for each in written_together(pool, 5)] == [0, 1, 2, 3, 4]
    assert shared_commit.write(lambda: 5) == 5
    assert sizes == [3, 2, 1]


def test_a_commit_that_was_stopped_is_known_to_all_that_had_a_part_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(batch: Sequence[Write]) -> None:
        if len(batch) == 2:
            raise SystemExit
        carried_out(batch)

    monkeypatch.setattr(shared_commit, "commit", stopped)
    with ThreadPoolExecutor(2) as pool:
        found = sorted(type(each.exception()).__name__ for each in written_together(pool, 2))
    assert found == ["RuntimeError", "SystemExit"]
    assert shared_commit.write(lambda: 2) == 2
