"""Mails are read in processes beside the worker, so that several cores work on one mailbox, and no mail can take the
worker down: what a parser dies of is tried once more, alone, in a fresh one, and then given up in words.

A thread for each parser feeds it; the threads touch neither the database nor a server. Parsers begin when there is
enough to read, are shared by all syncs of this worker, and end with the last of them (`running`).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from django.conf import settings

from mailbox.errors import StorageError
from mailbox.logs import event
from mailbox.parsing import parse_job
from mailbox.parsing.parse_job import Order
from mailbox.parsing.process import ParserLost, ParserPipe, Result
from mailbox.parsing.worker import GAVE_UP

logger = logging.getLogger(__name__)
# Fewer and smaller mails than this are read at once, here: a parser takes as long to begin.
WORTH_MAILS = 20
WORTH_BYTES = 512 * 1024
ORDERS_BYTES = 4 * 1024 * 1024  # in one go to a parser


class Pending:
    """The results of some orders, in their order, once they are there. `here`: orders too few for a parser."""

    def __init__(self, parts: Sequence[Future[list[Result]]], here: Sequence[Order] = ()) -> None:
        self._parts = parts
        self._here = here

    def wait(self, seconds: float) -> bool:
        """Whether all are there, or have failed, within this time."""
        return not wait(self._parts, seconds).not_done

    def result(self) -> list[Result]:
        """Wait for all; raises StorageError when no parser can be started."""
        return [each for part in self._parts for each in part.result()] + [_read_here(order) for order in self._here]


@dataclass
class _Job:
    orders: list[Order]
    future: Future[list[Result]]


@dataclass
class _Parsers:
    """The parsers of this worker: one at least, and one more for each core that no other worker's parser uses."""

    threads: list[threading.Thread] = field(default_factory=list)
    jobs: queue.SimpleQueue[_Job | None] = field(default_factory=queue.SimpleQueue)

    def submit(self, orders: Sequence[Order]) -> Pending:
        self.grow()
        parts = []
        for some in _parts_of(orders, len(self.threads)):
            job = _Job(some, Future())
            parts.append(job.future)
            self.jobs.put(job)
        return Pending(parts)

    def grow(self) -> None:
        while len(self.threads) < (os.cpu_count() or 1):
            slot = _free_slot()
            if slot is None and self.threads:
                return
            thread = threading.Thread(target=self._feed, args=(slot,), name="parser", daemon=True)
            self.threads.append(thread)
            thread.start()

    def _feed(self, slot: IO[bytes] | None) -> None:
        """One parser's thread. It starts the parser too: the kernel kills a child with the thread that made it."""
        parser = ParserPipe()
        try:
            with contextlib.suppress(StorageError):  # who has mails for it is told
                parser.start()
            while (job := self.jobs.get()) is not None:
                try:
                    job.future.set_result(_read_all(parser, job.orders))
                except BaseException as error:
                    job.future.set_exception(error)
                del job  # its mails would stay in memory until the next comes
        finally:
            parser.end()
            if slot:
                slot.close()

    def close(self) -> None:
        for _ in self.threads:
            self.jobs.put(None)
        for thread in self.threads:
            thread.join()


def _parts_of(orders: Sequence[Order], count: int) -> Iterator[list[Order]]:
    """Cut into about `count` parts of like size; none too large for one go."""
    share = min(sum(len(order.raw) for order in orders) / count, ORDERS_BYTES)
    part: list[Order] = []
    total = 0
    for order in orders:
        part.append(order)
        total += len(order.raw)
        if total >= share:
            yield part
            part, total = [], 0
    if part:
        yield part


def _free_slot() -> IO[bytes] | None:
    """A core of this machine that no parser of ours uses yet, told by a lock on its file."""
    folder = Path(settings.DATA_DIR) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(os.cpu_count() or 1):
        file = (folder / f"parser-{number}").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except OSError:
            file.close()
    return None


def _read_all(parser: ParserPipe, orders: list[Order]) -> list[Result]:
    results: list[Result] = []
    while len(results) < len(orders):
        try:
            for result in parser.read(orders[len(results) :]):
                results.append(result)
        except ParserLost:
            suspect = orders[len(results)]
            event(logger, "parser_lost", logging.WARNING, account=suspect.account_id, bytes=len(suspect.raw))
            results.append(_read_alone(parser, suspect))
    return results


def _read_alone(parser: ParserPipe, order: Order) -> Result:
    try:
        (result,) = parser.read([order])
    except ParserLost:
        return GAVE_UP
    return result


_lock = threading.Lock()
_users = 0
_parsers: _Parsers | None = None


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Keep parsers, once there are any, until the last that asked for this has left."""
    global _users, _parsers
    with _lock:
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            leaving = _parsers if _users == 0 else None
            if leaving is not None:
                _parsers = None
        if leaving is not None:
            leaving.close()


def prepare(count: int) -> None:
    """So many mails are about to be fetched: if it is worth it, parsers begin meanwhile. Call it within running()."""
    with _lock:
        if count >= WORTH_MAILS:
            _begin()


def _begin() -> None:
    global _parsers
    if _parsers is None and _users:
        _parsers = _Parsers()
        _parsers.grow()


def read(orders: Sequence[Order]) -> Pending:
    """Have these mails read; call it within running(). A result is a Reading, or in words why there is none."""
    with _lock:
        if len(orders) >= WORTH_MAILS or sum(len(order.raw) for order in orders) >= WORTH_BYTES:
            _begin()
        if _parsers is not None and orders:
            return _parsers.submit(orders)
    return Pending([], here=orders)


def _read_here(order: Order) -> Result:
    try:
        return parse_job.read(order)
    except Exception as error:
        logger.exception("parse_failed", extra={"fields": {"account_id": order.account_id, "bytes": len(order.raw)}})
        return f"{type(error).__name__}: {error}"[:500]
