"""What several threads ask for at once is done by one call, and each thread gets its own part of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailbox.gathered_calls import GatheredCalls
from tests.servers.ports import wait_until


def test_what_waits_is_done_by_as_few_calls_as_may_be() -> None:
    seen = list[list[int]]()
    gathered = GatheredCalls[int](lambda items: seen.append(list(items)), most=3)
    with ThreadPoolExecutor(5) as pool:
        with gathered._turn:
            asked = [pool.submit(gathered.ask, number) for number in range(5)]
            wait_until(lambda: len(gathered._waiting) == 5, seconds=30, what="all five to wait")
        for each in asked:
            each.result()
    assert [len(items) for items in seen] == [3, 2]
    assert sorted(number for items in seen for number in items) == [0, 1, 2, 3, 4]
    gathered.ask(5)
    assert seen[2:] == [[5]]


def test_a_call_that_was_stopped_is_known_to_all_whose_part_it_was() -> None:
    def stopped(items: Sequence[int]) -> None:
        if len(items) == 2:
            raise SystemExit

    gathered = GatheredCalls[int](stopped, most=3)
    with ThreadPoolExecutor(2) as pool:
        with gathered._turn:
            asked = [pool.submit(gathered.ask, number) for number in range(2)]
            wait_until(lambda: len(gathered._waiting) == 2, seconds=30, what="both to wait")
        found = sorted(type(each.exception()).__name__ for each in asked)
    assert found == ["RuntimeError", "SystemExit"]
    gathered.ask(2)


def test_nobody_waits_for_ever_behind_a_failure() -> None:
    def failing(_items: Sequence[int]) -> None:
        raise ValueError

    gathered = GatheredCalls[int](failing, most=3)
    for number in range(2):
        with pytest.raises(ValueError):
            gathered.ask(number)
