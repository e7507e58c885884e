"""One account's turn in a run: connect, then sync its folders one after the other, in rounds while more is waiting."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings

from mailbox.db.errors import DATABASE_TROUBLE, close_if_broken
from mailbox.errors import MailError
from mailbox.leases.held_lease import HeldLease
from mailbox.logs import event, provider_words
from mailbox.models import Account, Folder
from mailbox.scheduler.account_queue import SyncJob, jobs_of
from mailbox.scheduler.report import RunReport
from mailbox.storage import disk_budget
from mailbox.sync import folder_sync, state_rows
from mailbox.sync.account_session import AccountSession, connect
from mailbox.sync.folders import discover, listing_is_due
from mailbox.sync.outcome import Crashed, SyncOutcome, failed
from mailbox.sync.prefetch import MessageBudget

logger = logging.getLogger(__name__)
LEAVE_ACCOUNT = ("network", "busy", "throttled", "quota")
NEWS_AFTER_SECONDS = 0.8  # a turn longer than this looks for push news; below tasks.PUSH_WAIT_SECONDS
GO_ON_SECONDS = 10.0  # how long one job may go on fetching before the folder is opened again


@dataclass(eq=False)
class AccountTurn:
    """One account that this run holds by `lease`.

    `jobs`: still to do. `unchanged`: folder name -> outcome, of folders in which nothing was new; they are written by
    `results`, in the transaction that releases the lease.
    """

    lease: HeldLease
    report: RunReport
    jobs: deque[SyncJob] = field(default_factory=deque)
    unchanged: dict[str, SyncOutcome] = field(default_factory=dict)

    @property
    def account_id(self) -> int:
        """The account's pk."""
        return self.lease.account_id

    def take(self, deadline: float, turn_seconds: float) -> Collection[SyncJob]:
        """Sync until no job is left or the turn's time is over; return the jobs to put back in the queue.

        Raises nothing: failures are in the report. `deadline`: the run's end, as time.monotonic().
        """
        try:
            account = state_rows.account_by_pk(self.account_id)
            if account is None or not self.jobs or disk_budget.is_spent():
                # Deleted, or synced by another worker since it was queued; or the disk is full, and it stays due.
                return ()
            states = state_rows.states_of(account, [job.folder for job in self.jobs])
            with connect(account, self.lease.clock) as imap:
                session = AccountSession(account, imap, self.lease, states)
                self._list_folders(session)
                self._sync_in_turn(session, min(deadline, time.monotonic() + turn_seconds))
            return self.jobs if time.monotonic() < deadline else ()
        except MailError as error:  # the failure to connect is that of each folder that was to be synced
            for job in self.jobs:
                self._fail(job.folder, error)
        except Exception as error:
            self.fail_unexpectedly(error, self.jobs[0].folder if self.jobs else None)
        return ()

    def _sync_in_turn(self, session: AccountSession, end: float) -> None:
        """Sync the jobs until `end`; each gets one round even after it, so that none at the end of the list starves."""
        began, rounds = time.monotonic(), len(self.jobs)
        while self.jobs and (rounds > 0 or time.monotonic() < end):
            job, rounds = self.jobs[0], rounds - 1
            most, until = job.max_messages or settings.SYNC_MAX_MESSAGES, min(end, time.monotonic() + GO_ON_SECONDS)
            budget = MessageBudget(most, partial(self._may_go_on, until))
            outcome = folder_sync.sync_folder(session, job.folder, budget)
            self.jobs.popleft()
            self._record(job.folder, outcome)
            if outcome.error_code in LEAVE_ACCOUNT:  # the connection or the lease is lost; the other folders stay due
                event(logger, "account_left", account=self.account_id, error_code=outcome.error_code)
                self.jobs.clear()
                return
            if outcome.ok and outcome.more_waiting:
                self.jobs.append(job)
            if time.monotonic() - began > NEWS_AFTER_SECONDS:
                self._take_news(job.max_messages)

    def _record(self, name: str, outcome: SyncOutcome) -> None:
        self.unchanged.pop(name, None)  # the outcome of an earlier round is out of date
        if outcome.unchanged_at is not None:
            self.unchanged[name] = outcome
        else:
            self.report.add(self.account_id, name, outcome)

    def _may_go_on(self, until: float) -> bool:
        """Whether a job may fetch more than its `max_messages` on the folder as opened.

        It may `until` then, while no other folder waits and push reported no news of INBOX: only opening the folder
        again finds mail that has arrived meanwhile.
        """
        return len(self.jobs) == 1 and time.monotonic() < until and not self._folder_with_news()

    def _folder_with_news(self) -> str | None:
        """The folder in which the mail of INBOX is, if push reported news of it: on Gmail, All Mail."""
        told = Folder.objects.chosen().holding_inbox().filter(account_id=self.account_id)
        told = told.filter(sync_state__news_at__isnull=False)
        return told.order_by("special_use").values_list("name", flat=True).first()

    def _take_news(self, max_messages: int | None) -> None:
        """Put a folder first when push reported news of it during this turn: the sync that push queued finds the
        account busy and relies on us."""
        if name := self._folder_with_news():
            told = next((job for job in self.jobs if job.folder == name), SyncJob(self.account_id, name, max_messages))
            self.jobs = deque([told, *(job for job in self.jobs if job is not told)])

    def _list_folders(self, session: AccountSession) -> None:
        if not listing_is_due(session.account, self.lease.clock()):
            return
        try:
            discover(session.account, session.imap, self.lease.clock())
            self._without_labels()
        except MailError as error:
            event(
                logger, "listing_failed", logging.WARNING,
                account=self.account_id, error_code=error.code, reply=provider_words(str(error)),
            )  # fmt: skip

    def _without_labels(self) -> None:
        """Replace the jobs when the listing has just shown that one is for a Gmail label: All Mail holds its mail."""
        labels = Folder.objects.filter(account_id=self.account_id, is_label=True).values_list("name", flat=True)
        if {job.folder for job in self.jobs}.intersection(labels):
            self.jobs = deque(jobs_of(self.account_id, self.jobs[0].max_messages))

    def fail_unexpectedly(self, error: Exception, folder: str | None) -> None:
        """Record a bug or a database failure: log it, mark the folder as failed, and end this account's turn only."""
        fields = {"account": self.account_id, "run_id": str(self.report.run.run_id)}
        logger.error("sync_crashed", extra={"fields": fields}, exc_info=error)
        crash = Crashed(f"An error of this software: {type(error).__name__}")
        close_if_broken()
        try:
            if folder is not None and Account.objects.filter(pk=self.account_id).exists():
                self._fail(folder, crash)
        except DATABASE_TROUBLE as trouble:  # the database is still away: the account stays due
            event(logger, "crash_not_recorded", logging.WARNING, account=self.account_id, error=type(trouble).__name__)

    def _fail(self, folder: str, error: MailError) -> None:
        self.report.add(self.account_id, folder, failed(self.account_id, folder, error, self.lease.clock()))
