"""The outcome of one folder's sync, and how a failure is saved."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbox.errors import Busy, MailError, SignInRefused
from mailbox.logs import event, provider_words
from mailbox.models import Account, Counter, Folder, SyncState
from mailbox.sync.account_session import backoff_wait
from mailbox.sync.batch_writer import RunCounts
from mailbox.sync.folders import canonical, folder_for
from mailbox.sync.no_change import UnchangedFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyncOutcome:
    """What one sync did to one folder.

    fetched, updated, quarantined: messages. bytes: of raw messages. seconds: wall-clock time.
    error_code: the `code` of a MailError, "internal" for a bug, "" for none. error: the sentence for a person.
    unchanged: set when nothing was new and the caller has to save that (see AccountSession.leaves_unchanged).
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
        """Whether the report needs no line: no failure, no change, no note."""
        return self.ok and not (self.fetched or self.updated or self.quarantined or self.more_waiting or self.note)


def count_run(account: Account, outcome: SyncOutcome, now: datetime) -> None:
    """Add a folder's sync to the hourly counters of its account."""
    ended = Counter.Name.SYNC_SUCCESSES if outcome.ok else Counter.Name.SYNC_FAILURES
    amounts = {Counter.Name.SYNC_ATTEMPTS: 1, ended: 1, Counter.Name.MESSAGES_RECEIVED: outcome.fetched}
    Counter.add_all(account.pk, amounts, now)


def failed(
    account: Account,
    name: str,
    error: MailError,
    now: datetime,
    seconds: float,
    counts: RunCounts | None = None,
) -> SyncOutcome:
    """Save an expected failure on the folder and return the outcome. Busy is not saved: another worker syncs it.

    A refused sign-in starts no backoff of the folder: it is noted on the transport, and new credentials must make the
    folder due at once.
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
    record_failure(account, name, outcome, now, error.wait_seconds, waits=not isinstance(error, SignInRefused))
    return outcome


def record_failure(
    account: Account,
    name: str,
    outcome: SyncOutcome,
    now: datetime,
    stated: float | None = None,
    *,
    waits: bool = True,
) -> None:
    """Save a failure on the folder's state: the error, one more failure, and when the next try is allowed.

    stated: seconds that the server asked to wait. waits: False for a failure without a wait.
    """
    folder = Folder.objects.filter(account=account, name=canonical(name)).first()
    if folder is None and canonical(name) == "INBOX":  # INBOX always exists, and its state must hold the backoff
        folder = folder_for(account, name)
    if folder is not None:
        state, _ = SyncState.objects.get_or_create(account=account, folder=folder)
        wait = timedelta(seconds=backoff_wait(state.failure_count, stated))
        SyncState.objects.filter(pk=state.pk).update(
            failure_count=state.failure_count + 1,
            next_allowed_at=now + wait if waits else None,
            last_error_code=outcome.error_code,
            last_error=outcome.error,
            last_attempt_at=now,
        )
    count_run(account, outcome, now)
    event(
        logger, "sync_failed", logging.WARNING,
        account=account.pk, folder=name, error_code=outcome.error_code, error=provider_words(outcome.error),
    )  # fmt: skip
