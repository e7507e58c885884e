"""The parser processes of this worker: several cores parse one mailbox, and no message can stop the worker.

A message that kills its parser is read once more, alone, in a new parser; if it does so again, the result is a text
that says why (GAVE_UP).

Each parser has a thread that feeds it; the threads use neither the database nor a mail server. All syncs of this worker
share the parsers (`running`). When the last sync ends, one parser stays for IDLE_SECONDS: starting one takes as long as
parsing 500 messages, and most syncs bring only a few.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from mailbox.errors import StorageError
from mailbox.host_slots import Slot, take_slot
from mailbox.logs import event
from mailbox.parsing.parse_job import ParseJob
from mailbox.parsing.parser import GAVE_UP
from mailbox.parsing.process import ParserLost, ParserPipe, Result

logger = logging.getLogger(__name__)
# A smaller job than both of these is left to one parser, since starting another would take as long.
WORTH_MAILS = 20
WORTH_BYTES = 512 * 1024
BATCH_BYTES = 4 * 1024 * 1024  # about so many bytes of messages are given to a parser at once
IDLE_SECONDS = 120.0  # a parser without work ends after this time, two ticks of the scheduler


class Pending:
    """The results of submitted jobs, in the order of the jobs, when they are finished."""

    def __init__(self, parts: Sequence[Future[list[Result]]]) -> None:
        self._parts = parts

    def result(self) -> list[Result]:
        """Wait for all results. Raises StorageError when no parser can be started."""
        return [each for part in self._parts for each in part.result()]


@dataclass
class _Batch:
    jobs: list[ParseJob]
    future: Future[list[Result]]


@dataclass
class _Parsers:
    """The parsers of this worker: at least one, and more while the host's cores are not all used by other parsers."""

    threads: list[threading.Thread] = field(default_factory=list)
    batches: queue.SimpleQueue[_Batch | None] = field(default_factory=queue.SimpleQueue)
    ended: queue.SimpleQueue[threading.Thread] = field(default_factory=queue.SimpleQueue)
    slots: list[Slot] = field(default_factory=list)  # one for each core in use: host_slots shares out the host's cores

    def submit(self, jobs: Sequence[ParseJob]) -> Pending:
        parts = []
        for some in _parts_of(jobs, len(self.threads)):
            batch = _Batch(some, Future())
            parts.append(batch.future)
            self.batches.put(batch)
        return Pending(parts)

    def grow(self, most: int) -> None:
        while len(self.slots) < most:
            slot = take_slot("parser", os.cpu_count() or 1)
            if slot is None:
                break
            self.slots.append(slot)
        for _ in range(max(len(self.slots), 1) - len(self.threads)):
            thread = threading.Thread(target=self._feed, name="parser", daemon=True)
            self.threads.append(thread)
            thread.start()

    def _feed(self) -> None:
        """Run one parser's thread. It also starts the parser: PR_SET_PDEATHSIG kills a child when the thread that
        started it ends."""
        parser = ParserPipe()
        try:
            with contextlib.suppress(StorageError):  # _read_all starts it again and raises for the jobs' owner
                parser.start()
            while (batch := self._next_batch()) is not None:
                try:
                    batch.future.set_result(_read_all(parser, batch.jobs))
                except BaseException as error:
                    batch.future.set_exception(error)
                del batch  # else its messages would stay in memory until the next batch comes
        finally:
            parser.end()
            self.ended.put(threading.current_thread())

    def _next_batch(self) -> _Batch | None:
        while True:
            try:
                return self.batches.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                if _forget_idle(self):
                    return None

    def shrink(self, left: int) -> None:
        """End all parsers but `left`, and release the slots. Call it when no batch is being read."""
        for _ in range(len(self.threads) - left):
            self.batches.put(None)
        while len(self.threads) > left:
            thread = self.ended.get()
            thread.join()
            self.threads.remove(thread)
        while self.slots:
            self.slots.pop().close()


def _parts_of(jobs: Sequence[ParseJob], count: int) -> Iterator[list[ParseJob]]:
    """Split the jobs into about `count` parts of similar size; a part ends at the latest when it has BATCH_BYTES."""
    share = min(sum(len(job.raw) for job in jobs) / count, BATCH_BYTES)
    part: list[ParseJob] = []
    total = 0
    for job in jobs:
        part.append(job)
        total += len(job.raw)
        if total >= share:
            yield part
            part, total = [], 0
    if part:
        yield part


def _read_all(parser: ParserPipe, jobs: list[ParseJob]) -> list[Result]:
    results: list[Result] = []
    while len(results) < len(jobs):
        try:
            for result in parser.read(jobs[len(results) :]):
                results.append(result)
        except ParserLost:
            suspect = jobs[len(results)]
            event(logger, "parser_lost", logging.WARNING, account=suspect.account_id, bytes=len(suspect.raw))
            results.append(_read_alone(parser, suspect))
    return results


def _read_alone(parser: ParserPipe, job: ParseJob) -> Result:
    try:
        (result,) = parser.read([job])
    except ParserLost:
        return GAVE_UP
    return result


_lock = threading.Lock()
_users = 0
_parsers: _Parsers | None = None


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Keep the parsers that start meanwhile until the last user of this context has left; one of them stays longer."""
    global _users
    with _lock:
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _parsers is not None:
                _parsers.shrink(left=1)


def prepare(count: int) -> None:
    """Start parsers while `count` messages are still being fetched. Call it within running()."""
    if count:
        with _lock:
            _begun(is_worth_more=count >= WORTH_MAILS)


def _begun(*, is_worth_more: bool) -> _Parsers:
    global _parsers
    if _parsers is None:
        _parsers = _Parsers()
    _parsers.grow((os.cpu_count() or 1) if is_worth_more else 1)
    return _parsers


def read(jobs: Sequence[ParseJob]) -> Pending:
    """Submit the jobs; call it within running(). A result is the return value of the job's reader, or a str that says
    why there is none."""
    if not jobs:
        return Pending([])
    with _lock:
        assert _users, "parsers are kept by running()"
        is_much = len(jobs) >= WORTH_MAILS or sum(len(job.raw) for job in jobs) >= WORTH_BYTES
        return _begun(is_worth_more=is_much).submit(jobs)


def read_one(job: ParseJob) -> Result:
    """Read one message and wait for its result. Raises StorageError when no parser can be started."""
    with running():
        (result,) = read([job]).result()
    return result


def _forget_idle(parsers: _Parsers) -> bool:
    """Whether an idle parser may end: only when nobody is within running(). Forgets these parsers if so."""
    global _parsers
    with _lock:
        if _users or _parsers is not parsers:
            return False
        _parsers = None
        return True


@atexit.register
def close() -> None:
    """End the idle parser, unless a sync is running."""
    global _parsers
    with _lock:
        if _parsers is not None and not _users:
            _parsers.shrink(left=0)
            _parsers = None


def _forget_after_fork() -> None:
    """Reset the state in a forked process: it has none of the threads and must not use its parent's parsers."""
    global _lock, _users, _parsers
    _lock, _users, _parsers = threading.Lock(), 0, None


os.register_at_fork(after_in_child=_forget_after_fork)
