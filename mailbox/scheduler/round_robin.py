"""Many accounts, some at a time, each again and again until it is done: who is next."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from django.db import connections

from mailbox.jitter import start_after


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


class Settle(Protocol):
    """Write what this thread's turns have left to write; `is_last`: it has no more."""

    def __call__(self, *, is_last: bool) -> None: ...


def take_turns(accounts: deque[T], concurrency: int, deadline: float | None, settle: Settle) -> None:
    """Give each account a turn, and again those with more waiting, at most `concurrency` at one instant.

    `settle` is called by each thread where no turn follows at once on the one before.
    """
    if len(accounts) < 2 or concurrency == 1:
        try:
            while accounts:
                turn = accounts.popleft()
                if turn.take(deadline, alone=not accounts):
                    accounts.append(turn)
        finally:
            settle(is_last=True)
        return
    turns = _Turns(accounts, settle)
    with ThreadPoolExecutor(min(concurrency, len(accounts)), thread_name_prefix="sync") as pool:
        try:
            for done in [pool.submit(turns.work, deadline) for _ in range(min(concurrency, len(accounts)))]:
                done.result()
        except BaseException:  # the task's time-out is a SystemExit: turns under way end, none begins
            turns.close()
            raise


class _Turns(Generic[T]):
    """The line of accounts that several threads serve. Each thread keeps its database connection from turn to turn."""

    def __init__(self, accounts: deque[T], settle: Settle) -> None:
        self._waiting, self._settle = accounts, settle
        self._under_way = 0
        self._changed = threading.Condition()

    def work(self, deadline: float | None) -> None:
        try:
            while (turn := self._ready() or self._awaited()) is not None:
                more = False
                try:
                    more = turn.take(deadline)
                finally:
                    self._end(turn if more else None)
                if any(connection.errors_occurred for connection in connections.all(initialized_only=True)):
                    connections.close_all()
        finally:
            try:
                self._settle(is_last=True)
            finally:
                connections.close_all()  # this thread's own; nobody else would

    def close(self) -> None:
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()

    def _ready(self) -> T | None:
        """The first whose time has come, if there is one at this moment."""
        with self._changed:
            return self._take_first()

    def _awaited(self) -> T | None:
        """Likewise, waited for; None when none waits, nor can come back from the turn it has."""
        self._settle(is_last=False)
        with self._changed:
            while self._waiting or self._under_way:
                if (turn := self._take_first()) is not None:
                    return turn
                first = min((each.starts_at for each in self._waiting), default=None)
                self._changed.wait(None if first is None else max(first - time.monotonic(), 0))
            return None

    def _take_first(self) -> T | None:
        turn = min(self._waiting, key=lambda each: each.starts_at, default=None)
        if turn is None or turn.starts_at > time.monotonic():
            return None
        self._waiting.remove(turn)
        self._under_way += 1
        return turn

    def _end(self, again: T | None) -> None:
        with self._changed:
            self._under_way -= 1
            if again is not None:
                again.starts_at = time.monotonic()  # behind those whose time has come already
                self._waiting.append(again)
            self._changed.notify_all()
