"""A run: the due jobs of many accounts, some at a time, each account alone, with backoff and a stored report."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import F, Q
from django.utils import timezone

from mailbox.clocks import is_over, is_waiting
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import Busy, MailError
from mailbox.keep_alive import keep_alive
from mailbox.logs import event, provider_words
from mailbox.models import Account, Folder, SyncRun, SyncState
from mailbox.parsing import pool as parsing_pool
from mailbox.scheduler.group_commit import Ending
from mailbox.scheduler.report import Report
from mailbox.scheduler.round_robin import spread, take_turns
from mailbox.scheduler.turn_commit import Claim, Desks
from mailbox.storage import disk_budget
from mailbox.sync import folder_sync
from mailbox.sync.account_session import BUSY, AccountSession, Backoff, Clock, connect, renewing
from mailbox.sync.folder_sync import SyncOutcome
from mailbox.sync.folders import canonical, discover, listing_is_due

logger = logging.getLogger(__name__)
SIGN_IN_AGAIN_AFTER = timedelta(hours=1)
LEAVE_ACCOUNT = ("network", "busy", "throttled", "quota")
NEWS_AFTER_SECONDS = 0.8  # less than a pushed sync waits for this one: see tasks.PUSH_WAIT_SECONDS
GO_ON_SECONDS = 10.0  # how long a folder with much mail is fetched before it is looked at anew
TURN_SECONDS = 10.0  # how long an account with much mail keeps its connection before another has its turn


@dataclass(frozen=True)
class SyncJob:
    account_id: int
    folder: str = "INBOX"
    max_messages: int = 100


@dataclass(frozen=True)
class SyncRunnerConfig:
    """Seconds. `time_budget_seconds`: 0 gives each job one round, None goes on until nothing is left."""

    max_concurrency: int = 4
    base_backoff_seconds: float = 10
    max_backoff_seconds: float = 300
    time_budget_seconds: float | None = 50
    wait_seconds: float = 0  # for another sync of the same account

    @classmethod
    def from_settings(cls, *, time_budget_seconds: float | None = None, wait_seconds: float = 0) -> SyncRunnerConfig:
        return cls(
            max_concurrency=settings.SYNC_MAX_CONCURRENCY,
            base_backoff_seconds=settings.SYNC_BASE_BACKOFF_SECONDS,
            max_backoff_seconds=settings.SYNC_MAX_BACKOFF_SECONDS,
            time_budget_seconds=time_budget_seconds,
            wait_seconds=wait_seconds,
        )

    @property
    def backoff(self) -> Backoff:
        return Backoff(self.base_backoff_seconds, self.max_backoff_seconds)


def due_jobs(now: datetime, max_messages: int | None = None) -> list[SyncJob]:
    """The chosen folders of syncing accounts that may be tried now; INBOX for an account whose folders are unknown.

    An account whose sign-in was refused is tried once an hour, or at once when its credentials have changed.
    """
    limit = max_messages or settings.SYNC_MAX_MESSAGES
    an_hour_ago = now - SIGN_IN_AGAIN_AFTER
    sign_in = (
        Q(account__imap__needs_sign_in_since=None)
        | Q(sync_state__last_attempt_at=None)
        | Q(sync_state__last_attempt_at__lte=an_hour_ago)
    )
    folders = (
        Folder.objects.due(now).filter(sign_in).order_by(F("sync_state__last_attempt_at").asc(nulls_first=True), "pk")
    )
    jobs = [SyncJob(account_id, name, limit) for account_id, name in folders.values_list("account_id", "name")]
    unknown = Account.objects.syncing().filter(folders=None, imap__needs_sign_in_since=None)
    unknown = unknown.filter(is_over("imap__next_allowed_at", now))
    return jobs + [SyncJob(pk, "INBOX", limit) for pk in unknown.values_list("pk", flat=True)]


def jobs_of(account_id: int, max_messages: int | None = None) -> list[SyncJob]:
    """The chosen folders of one account, in backoff or not; INBOX when none is known yet."""
    names = list(Folder.objects.chosen().filter(account_id=account_id).values_list("name", flat=True))
    if not names and not Folder.objects.filter(account_id=account_id).exists():
        names = ["INBOX"]
    return [SyncJob(account_id, name, max_messages or settings.SYNC_MAX_MESSAGES) for name in names]


def run_sync(
    jobs: Sequence[SyncJob],
    config: SyncRunnerConfig | None = None,
    *,
    trigger: str = SyncRun.Trigger.SCHEDULE,
    requested_by: int | None = None,
    now: datetime | None = None,
) -> SyncRun:
    """Run the jobs and return the stored report. `requested_by` is a user's pk.

    Jobs in backoff are skipped, unless a person asked for the run. An account's jobs share one connection and take
    turns; a job with more waiting comes again within the time budget. What an account fails with, expected or not, is
    in its lines of the report and stops no other.
    """
    config = config or SyncRunnerConfig.from_settings(time_budget_seconds=settings.SYNC_TICK_SECONDS)
    clock: Clock = timezone.now if now is None else lambda: now
    if trigger in (SyncRun.Trigger.SCHEDULE, SyncRun.Trigger.PUSH):
        jobs = _outside_backoff(jobs, clock())
    report = Report.begin(trigger, requested_by, clock())
    by_account: dict[int, list[SyncJob]] = {}
    for job in dict.fromkeys(jobs):
        by_account.setdefault(job.account_id, []).append(job)

    def crashed(account: Account, folder: str, error: Exception) -> None:
        _record_crash(report, account, folder, error, clock, config)

    desks = Desks(clock, report, crashed)
    accounts = deque(_AccountTurn(deque(own), config, clock, report, desks) for own in by_account.values())
    if trigger == SyncRun.Trigger.SCHEDULE:
        spread(accounts, config.time_budget_seconds or 0)
    deadline = None if config.time_budget_seconds is None else time.monotonic() + config.time_budget_seconds
    with keep_alive.during(report.say_it_goes_on), parsing_pool.running():  # parsers outlast each job
        take_turns(accounts, config.max_concurrency, deadline, settle=desks.settle)
    return report.finish(clock())


def _outside_backoff(jobs: Sequence[SyncJob], now: datetime) -> list[SyncJob]:
    waiting = Folder.objects.filter(account_id__in={job.account_id for job in jobs}).filter(
        is_waiting("sync_state__next_allowed_at", now) | is_waiting("account__imap__next_allowed_at", now)
    )
    skipped = set(waiting.values_list("account_id", "name"))
    return [job for job in jobs if (job.account_id, canonical(job.folder)) not in skipped]


@dataclass
class _AccountTurn:
    """One account in a run: its jobs still to do, first to last and round again."""

    jobs: deque[SyncJob]
    config: SyncRunnerConfig
    clock: Clock
    report: Report
    desks: Desks
    starts_at: float = 0.0  # by time.monotonic()

    @property
    def account_id(self) -> int:
        return self.jobs[0].account_id

    def take(self, deadline: float | None, *, alone: bool = False) -> bool:
        """Sync until nothing is left or the turn is over; True when there is more and still time for it."""
        account_id = self.jobs[0].account_id
        if self.config.time_budget_seconds and _past(deadline):
            return self._over()  # its jobs stay due, and those who waited longest come first
        if disk_budget.is_spent():
            return self._over()  # likewise, until there is room
        try:
            names = list(dict.fromkeys(canonical(job.folder) for job in self.jobs))
            claim = self.desks.mine.claim(account_id, names, self.config.wait_seconds)
            if claim is None:
                return self._over()  # deleted since the job was queued
            try:
                self._serve(claim, deadline, alone=alone)
            except MailError as error:
                self._fail_all(claim.account, error)
        except Exception as error:
            self._fail_unexpectedly(account_id, error)
        return bool(self.jobs) and not _past(deadline)

    def _serve(self, claim: Claim, deadline: float | None, *, alone: bool) -> None:
        if claim.token is None:
            raise Busy(BUSY)
        ending = Ending(claim.account, claim.token)
        try:
            with (
                keep_alive.during(renewing(claim.token, self.clock)),
                connect(claim.account, self.clock) as imap,
            ):
                session = AccountSession(claim.account, imap, claim.token, self.clock, claim.held, owes_looks=True)
                self._list_folders(session)
                self._sync_in_turn(session, ending, deadline, alone=alone)
        finally:
            self.desks.mine.owe(ending)

    def _sync_in_turn(self, session: AccountSession, ending: Ending, deadline: float | None, *, alone: bool) -> None:
        began = time.monotonic()
        turn_ends = None if alone else began + TURN_SECONDS
        rounds = len(self.jobs)
        while self.jobs:
            job = self.jobs[0]
            self._write_so_far(ending, job)
            go_on = self._going_on(session.account, deadline, turn_ends)
            outcome = folder_sync.sync_folder(
                session, job.folder, None, job.max_messages, backoff=self.config.backoff, go_on=go_on
            )
            self.jobs.popleft()
            self.report.add(session.account, job.folder, outcome)
            if outcome.look is not None:
                ending.note(canonical(job.folder), outcome.look)
            if outcome.error_code in LEAVE_ACCOUNT:
                return self._leave_rest(session.account, outcome)
            rounds -= 1
            if outcome.ok and outcome.more_waiting and not _past(deadline):
                self.jobs.append(job)
            if time.monotonic() - began > NEWS_AFTER_SECONDS:
                self._take_news(session.account, job.max_messages)
            # Each job has its first round, however late it is: a folder at the end of the list is not starved.
            if rounds <= 0 and (_past(deadline) or _past(turn_ends)):
                return None
        return None

    def _write_so_far(self, ending: Ending, job: SyncJob) -> None:
        """What was found of other folders waits for the end of the turn, but not for long; and what was found of this
        folder is written before it is looked at again."""
        is_time = ending.looks and (ending.is_old() or canonical(job.folder) in ending.looks)
        if is_time and not self.desks.mine.write_so_far(ending):
            raise Busy(BUSY)

    def _going_on(self, account: Account, *ends: float | None) -> Callable[[], bool]:
        """Whether a job may go on where it is when it has had its messages: nobody else waits, and not for long, since
        only a new beginning finds mail that came meanwhile."""
        ends = (*ends, time.monotonic() + GO_ON_SECONDS)
        return lambda: len(self.jobs) == 1 and not any(map(_past, ends)) and not self._has_news(account)

    def _has_news(self, account: Account) -> bool:
        return SyncState.objects.filter(account=account, folder__name="INBOX", news_at__isnull=False).exists()

    def _take_news(self, account: Account, max_messages: int) -> None:
        """What push heard of during this turn goes first: the sync it queued finds the account busy and leaves it."""
        if self._has_news(account):
            inbox = next(
                (job for job in self.jobs if job.folder == "INBOX"), SyncJob(account.pk, "INBOX", max_messages)
            )
            self.jobs = deque([inbox, *(job for job in self.jobs if job is not inbox)])

    def _leave_rest(self, account: Account, outcome: SyncOutcome) -> None:
        """The connection is gone: what is left of the account is due again by its own clock."""
        event(logger, "account_left", account=account.pk, error_code=outcome.error_code)
        self._over()

    def _list_folders(self, session: AccountSession) -> None:
        if not listing_is_due(session.account, self.clock()):
            return
        try:
            discover(session.account, session.imap, self.clock())
            self._without_labels(session.account)
        except MailError as error:
            event(
                logger, "listing_failed", logging.WARNING,
                account=session.account.pk, error_code=error.code, reply=provider_words(str(error)),
            )  # fmt: skip

    def _without_labels(self, account: Account) -> None:
        """The first listing tells that INBOX is a label of Gmail's, and All Mail holds its mail as well."""
        labels = set(Folder.objects.filter(account=account, is_label=True).values_list("name", flat=True))
        if any(canonical(job.folder) in labels for job in self.jobs):
            self.jobs = deque(jobs_of(account.pk, self.jobs[0].max_messages))

    def _fail_all(self, account: Account, error: MailError) -> None:
        """No connection, no sync of any folder."""
        for job in self.jobs:
            outcome = folder_sync.failed(account, job.folder, error, self.clock(), self.config.backoff, 0.0)
            self.report.add(account, job.folder, outcome)
        self._over()

    def _fail_unexpectedly(self, account_id: int, error: Exception) -> None:
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()  # it may be the connection that is broken
        folder = self.jobs[0].folder if self.jobs else None
        try:
            account = Account.objects.filter(pk=account_id).first()
            _record_crash(self.report, account or account_id, folder, error, self.clock, self.config)
        except DATABASE_TROUBLE as trouble:  # still: the account stays due, and the others have their turn
            event(logger, "crash_not_recorded", logging.WARNING, account=account_id, error=type(trouble).__name__)
        self._over()

    def _over(self) -> bool:
        self.jobs.clear()
        return False


def _record_crash(
    report: Report, account: Account | int, folder: str | None, error: Exception, clock: Clock, config: SyncRunnerConfig
) -> None:
    """A bug, or a database that is gone: told with its account, and no other account's business."""
    email = account.email if isinstance(account, Account) else account
    fields = {"account": email, "run_id": str(report.run.run_id)}
    logger.error("sync_crashed", extra={"fields": fields}, exc_info=error)
    outcome = SyncOutcome(ok=False, error_code="internal", error=f"An error of this software: {type(error).__name__}")
    if isinstance(account, Account) and folder is not None:
        folder_sync.record_failure(account, folder, outcome, clock(), config.backoff)
        report.add(account, folder, outcome)


def _past(moment: float | None) -> bool:
    return moment is not None and time.monotonic() >= moment
