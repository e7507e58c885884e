"""A run of syncs: claims accounts in slices, syncs several at once, one thread each, and stores a report.

A thread that is free takes the next account of the slice. When the slice is used up, it claims the next one: up to
SLICE leases by one statement. Results are committed a few times a second (results).
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from datetime import datetime
from math import inf

from django.conf import settings
from django.db import connections
from django.utils import timezone

from mailbox.db.errors import DATABASE_TROUBLE, close_if_broken
from mailbox.leases.held_lease import WAIT_STEP_SECONDS, Clock, renewing, take_all
from mailbox.leases.keep_alive import keep_alive
from mailbox.logs import event
from mailbox.models import Lease, SyncRun
from mailbox.parsing import pool as parsing_pool
from mailbox.scheduler.account_queue import AccountQueue, DueAccounts, GivenAccounts, SyncJob
from mailbox.scheduler.account_turn import AccountTurn
from mailbox.scheduler.report import RunReport
from mailbox.scheduler.results import Results
from mailbox.sync.folders import canonical

logger = logging.getLogger(__name__)
SLICE = 25  # accounts that one statement claims
TURN_SECONDS = 10.0  # how long an account with much mail keeps its connection while others wait
WRITE_SECONDS = 0.25
CLAIMED_SECONDS = 5.0  # longest wait of a claimed account for its turn; then it is released, as a person may need it


def run_sync(
    jobs: Sequence[SyncJob],
    seconds: float,
    *,
    wait_seconds: float = 0,
    trigger: str = SyncRun.Trigger.SCHEDULE,
    requested_by: int | None = None,
    now: datetime | None = None,
) -> SyncRun:
    """Run the jobs and return the stored report.

    seconds: the time for all of them; inf for no limit, and 0 gives each job one round. wait_seconds: how long to wait
    for a sync of the same account that is running elsewhere. requested_by: a user's pk.

    Jobs in backoff are run, too. An account's jobs share one connection and run one after the other; a job with more
    waiting runs again within the time budget. An account's failure, expected or not, is in its lines of the report and
    stops no other account.
    """
    jobs = [replace(job, folder=canonical(job.folder)) for job in jobs]
    clock: Clock = timezone.now if now is None else lambda: now
    queue = GivenAccounts(jobs, wait_seconds)
    run = _Run(RunReport.begin(trigger, requested_by, clock()), seconds, clock, queue)
    if len(queue.accounts()) <= 1:
        return run.work_alone()
    return run.work([nullcontext()] * settings.SYNC_MAX_CONCURRENCY)


def run_share(
    run: SyncRun, queue: DueAccounts, seconds: float, slots: Sequence[AbstractContextManager[object]]
) -> SyncRun:
    """Sync slices of the queue until it is empty or `seconds` are over, as one of the workers that share `run`.

    `slots`: one context manager a connection, entered while its thread works: the host-wide limit of connections.
    """
    return _Run(RunReport(run), seconds, timezone.now, queue).work(slots)


class _Run:
    def __init__(self, report: RunReport, seconds: float, clock: Clock, queue: AccountQueue) -> None:
        self._report, self._clock, self._queue = report, clock, queue
        self._is_one_round, self._deadline = seconds == 0, time.monotonic() + seconds
        self._token = secrets.token_hex(16)  # of all leases that the run takes
        self._is_stopped = False
        self._results = Results()
        self._lock = threading.Lock()  # guards the queue and the attributes below
        self._claimed = deque[AccountTurn]()  # claimed accounts whose turn has not begun
        self._claimed_at = 0.0

    def work_alone(self) -> SyncRun:
        """Run on this thread; for a run of one account or none."""
        with self._until_its_end():
            self._serve(turn_seconds=inf)  # nobody else waits for this connection
        return self._report.run

    def work(self, slots: Sequence[AbstractContextManager[object]]) -> SyncRun:
        with self._until_its_end(), ThreadPoolExecutor(max(len(slots), 1), "sync") as pool:
            threads = [pool.submit(self._serve_at, slot) for slot in slots]
            try:
                while wait(threads, WRITE_SECONDS).not_done:
                    self._results.write()
                    self._let_go(CLAIMED_SECONDS)
            except BaseException:  # the task's time-out raises SystemExit: turns under way finish, no other begins
                self._is_stopped = True
                raise
        for thread in threads:
            thread.result()
        return self._report.run

    def _until_its_end(self) -> ExitStack:
        """What is set up for the run and undone at its end, whatever happens; undone in reverse order of the lines."""
        end = ExitStack()
        end.callback(lambda: self._report.finish(self._clock()))
        end.enter_context(keep_alive.during(self._report.say_it_goes_on))
        end.enter_context(parsing_pool.running())  # parser processes start once a run, not once a job
        end.enter_context(keep_alive.during(renewing(Lease.Purpose.SYNC, self._token, self._clock)))
        end.callback(self._results.write_last)
        end.callback(self._let_go, 0)
        return end

    def _serve_at(self, slot: AbstractContextManager[object]) -> None:
        with slot:
            try:
                self._serve(TURN_SECONDS)
            finally:
                connections.close_all()  # Django's connections are per thread

    def _serve(self, turn_seconds: float) -> None:
        """Take one account's turn after another, until none is left."""
        while turn := self._next():
            try:
                left = turn.take(self._deadline, turn_seconds)
            finally:
                self._results.add(turn)
            if left:
                with self._lock:
                    self._queue.put_back(turn.account_id, left)
            close_if_broken()

    def _next(self) -> AccountTurn | None:
        while not self._is_over():
            with self._lock:
                try:
                    if not self._claimed and not self._claim_slice():
                        return None
                except DATABASE_TROUBLE as error:
                    event(logger, "claim_failed", logging.WARNING, error=type(error).__name__)
                    return None
                if self._claimed:
                    return self._claimed.popleft()
            time.sleep(WAIT_STEP_SECONDS)  # other workers hold all accounts of this slice: try for the next
        return None

    def _is_over(self) -> bool:
        """Whether no further turn may begin. Accounts left over stay due and come first in the next run."""
        return self._is_stopped or (time.monotonic() >= self._deadline and not self._is_one_round)

    def _claim_slice(self) -> bool:
        """Take the leases of the next slice; False when the queue is empty."""
        self._results.write()  # releases the leases of ended turns, so that accounts with more waiting can be claimed
        chosen = self._queue.accounts()[:SLICE]
        leases = take_all(chosen, Lease.Purpose.SYNC, self._token, self._clock)
        turns = {lease.account_id: AccountTurn(lease, self._report) for lease in leases}
        for job in self._queue.take(chosen, turns):
            turns[job.account_id].jobs.append(job)
        self._claimed.extend(turns.values())
        self._claimed_at = time.monotonic()
        return bool(chosen)

    def _let_go(self, after_seconds: float) -> None:
        """Put claimed accounts that waited `after_seconds` back in the queue; the next write releases their leases."""
        with self._lock:
            if time.monotonic() - self._claimed_at < after_seconds:
                return
            for turn in self._claimed:
                self._queue.put_back(turn.account_id, turn.jobs)
                self._results.add(turn)
            self._claimed.clear()
