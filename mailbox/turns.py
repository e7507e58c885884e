"""Many accounts, some at a time, each again and again until it is done: who is next."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from mailbox.spread import start_after
from typing import Generic, Protocol, TypeVar

from django.db import connections


class Turn(Protocol):
    """One account's work. `starts_at`: by time.monotonic()."""

    starts_at: float

    @property
    def account_id(self) -> int: ...

    def take(self, deadline: float | None, *, alone: bool = False) -> bool:
        """Do some of it; True when there is more, and time for it."""
        ...


T = TypeVar("T", bound=Turn)


def spread(accounts: Iterable[Turn], budget: float) -> None:
    """Many accounts do not begin together, but each at its own time within the tick."""
    began, turns = time.monotonic(), list(accounts)
    for turn in turns:
        turn.starts_at = began + start_after(turn.account_id, len(turns), budget)


def take_turns(accounts: deque[T], concurrency: int, deadline: float | None) -> None:
    """Give each account a turn, and again those with more waiting, at most `concurrency` at one instant."""
    if len(accounts) < 2 or concurrency == 1:
        while accounts:
            turn = accounts.popleft()
            if turn.take(deadline, alone=not accounts):
                accounts.append(turn)
        return
    turns = _Turns(accounts)
    with ThreadPoolExecutor(min(concurrency, len(accounts)), thread_name_prefix="sync") as pool:
        try:
            for done in [pool.submit(turns.work, deadline) for _ in range(min(concurrency, len(accounts)))]:
                done.result()
        except BaseException:  # the task's time-out is a SystemExit: turns under way end, none begins
            turns.close()
            raise


class _Turns(Generic[T]):
    """The line of accounts that several threads serve. Each thread keeps its database connection from turn to turn."""

    def __init__(self, accounts: deque[T]) -> None:
        self._waiting = accounts
        self._under_way = 0
        self._changed = threading.Condition()

    def work(self, deadline: float | None) -> None:
        try:
            while (turn := self._next()) is not None:
                more = False
                try:
                    more = turn.take(deadline)
                finally:
                    self._end(turn if more else None)
                if any(connection.errors_occurred for connection in connections.all(initialized_only=True)):
                    connections.close_all()
        finally:
            connections.close_all()  # this thread's own; nobody else would

    def close(self) -> None:
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()

    def _next(self) -> T | None:
        """The first whose time has come; None when none waits, nor can come back from the turn it has."""
        with self._changed:
            while self._waiting or self._under_way:
                turn = min(self._waiting, key=lambda each: each.starts_at, default=None)
                wait = None if turn is None else turn.starts_at - time.monotonic()
                if turn is not None and wait is not None and wait <= 0:
                    self._waiting.remove(turn)
                    self._under_way += 1
                    return turn
                self._changed.wait(wait)
            return None

    def _end(self, again: T | None) -> None:
        with self._changed:
            self._under_way -= 1
            if again is not None:
                again.starts_at = time.monotonic()  # behind those whose time has come already
                self._waiting.append(again)
            self._changed.notify_all()
