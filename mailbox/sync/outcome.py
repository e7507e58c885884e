"""What came of a folder's run, and how a failure is kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbox.errors import Busy, MailError, SignInRefused
from mailbox.logs import event, provider_words
from mailbox.models import Account, Counter, Folder, SyncState
from mailbox.sync.account_session import Backoff
from mailbox.sync.batches import RunCounts
from mailbox.sync.folders import canonical, folder_for
from mailbox.sync.no_change import UnchangedFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyncOutcome:
    """What a run did to one folder. Seconds are wall clock; error_code is an errors.MailError's code or "internal".

    `unchanged`: nothing was new, and that is still to be written (see AccountSession.leaves_unchanged).
    """

    ok: bool
    fetched: int = 0
    updated: int = 0
    quarantined: int = 0
    bytes: int = 0
    seconds: float = 0.0
    error_code: str = ""
    error: str = ""
    more_waiting: bool = False
    note: str = ""
    unchanged: UnchangedFolder | None = None

    @property
    def is_unchanged(self) -> bool:
        """Nothing was new, wrong, or worth a word."""
        return self.ok and not (self.fetched or self.updated or self.quarantined or self.more_waiting or self.note)


def count_run(account: Account, outcome: SyncOutcome, now: datetime) -> None:
    ended = Counter.Name.SYNC_SUCCESSES if outcome.ok else Counter.Name.SYNC_FAILURES
    amounts = {Counter.Name.SYNC_ATTEMPTS: 1, ended: 1, Counter.Name.MESSAGES_RECEIVED: outcome.fetched}
    Counter.add_all(account.pk, amounts, now)


def failed(
    account: Account,
    name: str,
    error: MailError,
    now: datetime,
    backoff: Backoff,
    seconds: float,
    counts: RunCounts | None = None,
) -> SyncOutcome:
    """Record an expected failure on the folder, unless another worker is simply at it, and return its outcome.

    A refused sign-in starts no backoff here: the transport says it, and other credentials make the folder due at once.
    """
    counts = counts or RunCounts()
    outcome = SyncOutcome(
        ok=False,
        fetched=counts.fetched,
        updated=counts.updated,
        quarantined=counts.quarantined,
        bytes=counts.bytes,
        seconds=seconds,
        error_code=error.code,
        error=str(error),
    )
    if isinstance(error, Busy):
        return outcome
    record_failure(
        account, name, outcome, now, None if isinstance(error, SignInRefused) else backoff, error.wait_seconds
    )
    return outcome


def record_failure(
    account: Account,
    name: str,
    outcome: SyncOutcome,
    now: datetime,
    backoff: Backoff | None,
    stated: float | None = None,
) -> None:
    """Write a failure on the folder's state: its words, one more failure, and when it may be tried again."""
    folder = Folder.objects.filter(account=account, name=canonical(name)).first()
    if folder is None and canonical(name) == "INBOX":  # it always exists, and its state keeps the clock of the retries
        folder = folder_for(account, name)
    if folder is not None:
        state, _ = SyncState.objects.get_or_create(account=account, folder=folder)
        wait = backoff.wait(state.failure_count, stated) if backoff else 0
        SyncState.objects.filter(pk=state.pk).update(
            failure_count=state.failure_count + 1,
            next_allowed_at=now + timedelta(seconds=wait) if backoff else None,
            last_error_code=outcome.error_code,
            last_error=outcome.error,
            last_attempt_at=now,
        )
    count_run(account, outcome, now)
    event(
        logger, "sync_failed", logging.WARNING,
        account=account.pk, folder=name, error_code=outcome.error_code, error=provider_words(outcome.error),
    )  # fmt: skip
