"""Long removals: short transactions with rests between them, so that pages and other workers do not wait.

A transaction holds SQLite's only write lock, and what it changes is written twice (WAL and database). Without rests, a
removal takes about half of a small machine for as long as it lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

FIRST_ROWS, LEAST_ROWS, MOST_ROWS = 50, 20, 1_000
AIM_SECONDS = 0.1  # of a transaction, its commit included; in half of it, the commit would be most of it
REST_SHARE = 1.0  # of a transaction's duration
LONGEST_REST_SECONDS = 2.0
LOOKED_UP = 5_000  # rows that a removal looks up at once, outside of its transactions


def next_rows(rows: int, seconds: float) -> int:
    """How many rows the next transaction takes, if one of `rows` took `seconds`. At most doubled or halved, as one
    commit may have waited for the disk or for another writer."""
    aimed = round(rows * AIM_SECONDS / seconds) if seconds > 0 else MOST_ROWS
    return min(max(aimed, rows // 2, LEAST_ROWS), rows * 2, MOST_ROWS)


def rest_after(seconds: float) -> float:
    """How long to rest after a transaction that took `seconds`."""
    return min(seconds * REST_SHARE, LONGEST_REST_SECONDS)


class RestingBatches:
    """Splits work into transactions and rests between them. `clock` and `sleep` are those of `time`.

    rows: how many the next transaction should take; never more than `most`, or MOST_ROWS.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        most: int | None = None,
    ) -> None:
        self._most = min(most or MOST_ROWS, MOST_ROWS)
        self.rows = min(FIRST_ROWS, self._most)
        self.clock, self._sleep = clock, sleep

    def parts(self, pks: Sequence[int]) -> Iterator[Sequence[int]]:
        """The pks in parts, for one transaction each: its duration decides the length of the next part and the rest
        before it."""
        start = 0
        while start < len(pks):
            part, begin = pks[start : start + self.rows], self.clock()
            yield part
            start += len(part)
            self.rest(len(part), self.clock() - begin)

    def rest(self, rows: int, seconds: float) -> None:
        """Rest after a transaction of `rows` that took `seconds`. A shorter one than was due says nothing of others."""
        self.rows = min(next_rows(rows, seconds), self._most) if rows == self.rows else self.rows
        self._sleep(rest_after(seconds))
