"""Lets one call do what several threads ask for at the same time.

The thread whose turn it is calls for all that have asked until then; the others wait for their turn, and mostly find
their part done by then. A thread that is alone waits for nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class _Asked(Generic[T]):
    item: T
    is_done: bool = False
    is_lost: bool = False


class GatheredCalls(Generic[T]):
    """`do` is called with up to `most` items and notes the outcome of each in the item; it should raise nothing."""

    def __init__(self, do: Callable[[Sequence[T]], object], most: int) -> None:
        self._do, self._most = do, most
        self._waiting: deque[_Asked[T]] = deque()
        self._turn = threading.Lock()

    def ask(self, item: T) -> None:
        """Return when `do` has returned from a call with this item.

        Raises RuntimeError if it did not return, since something stopped the other thread that called it.
        """
        mine = _Asked(item)
        self._waiting.append(mine)
        with self._turn:
            while not mine.is_done:
                self._call()
        if mine.is_lost:
            raise RuntimeError("The thread that did this for several ones was stopped.")

    def _call(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        is_lost = True
        try:
            self._do([each.item for each in taken])
            is_lost = False
        finally:
            for each in taken:
                each.is_lost, each.is_done = is_lost, True
