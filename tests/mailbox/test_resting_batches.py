"""Long removals go in transactions that are short by the clock, and rest as long as they worked."""

from __future__ import annotations

import pytest

from mailbox import resting_batches
from mailbox.resting_batches import AIM_SECONDS, FIRST_ROWS, LEAST_ROWS, LONGEST_REST_SECONDS, MOST_ROWS, RestingBatches


@pytest.mark.parametrize(
    "rows, seconds, expected",
    [
        (50, AIM_SECONDS, 50),
        (50, AIM_SECONDS * 1.25, 40),
        (50, AIM_SECONDS / 1.5, 75),
        (50, AIM_SECONDS * 100, 25),  # halved at most: one commit may have waited
        (50, AIM_SECONDS / 100, 100),
        (50, 0.0, 100),
        (LEAST_ROWS, 60.0, LEAST_ROWS),
        (MOST_ROWS, 0.001, MOST_ROWS),
    ],
)
def test_the_next_transaction_is_as_long_as_is_aimed_at(rows: int, seconds: float, expected: int) -> None:
    assert resting_batches.next_rows(rows, seconds) == expected


def test_a_rest_is_as_long_as_the_work_within_a_limit() -> None:
    assert resting_batches.rest_after(0.05) == 0.05
    assert resting_batches.rest_after(60.0) == LONGEST_REST_SECONDS


class Clock:
    """Each row takes `a_row` seconds."""

    def __init__(self, a_row: float) -> None:
        self.now, self.a_row, self.rests = 0.0, a_row, list[float]()

    def work(self, rows: int) -> None:
        self.now += rows * self.a_row

    def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds


@pytest.mark.parametrize("a_row, settles_at", [(0.00005, MOST_ROWS), (0.001, 100), (0.004, 25), (0.1, LEAST_ROWS)])
def test_parts_settle_at_the_length_that_is_aimed_at_and_each_row_comes_once(a_row: float, settles_at: int) -> None:
    clock = Clock(a_row)
    paced = RestingBatches(lambda: clock.now, clock.sleep)
    pks, parts = list(range(4_000)), []
    for part in paced.parts(pks):
        parts.append(list(part))
        clock.work(len(part))
    assert [pk for part in parts for pk in part] == pks
    assert len(parts[0]) == FIRST_ROWS and len(parts[6]) == settles_at
    assert clock.rests == pytest.approx([min(len(part) * a_row, LONGEST_REST_SECONDS) for part in parts])


def test_the_next_look_up_goes_on_at_the_length_reached() -> None:
    clock = Clock(0.001)
    paced = RestingBatches(lambda: clock.now, clock.sleep)
    for pks in (list(range(FIRST_ROWS)), [], [1, 2, 3], list(range(160))):
        parts = []
        for part in paced.parts(pks):
            parts.append(len(part))
            clock.work(len(part))
    assert parts == [100, 60]  # the three rows of a short part do not count
