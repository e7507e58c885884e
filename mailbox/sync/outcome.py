"""The outcome of one folder's sync, and what the folder's state says of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mailbox.errors import Busy, MailError, SignInRefused
from mailbox.logs import event, provider_words
from mailbox.models import Counter, Folder, SyncState
from mailbox.sync.account_session import backoff_wait
from mailbox.sync.folders import folder_for

logger = logging.getLogger(__name__)


class Crashed(MailError):
    """The sync of a folder was ended by a bug of this software, or by the database."""

    code = "internal"


@dataclass
class SyncOutcome:
    """What one sync did to one folder. It is counted while batches commit, so that it is true of a failed sync too.

    folder_id: the folder's pk, None for one that has no row. fetched, updated, quarantined: messages. bytes: of raw
    messages. seconds: wall-clock time.
    error_code: the `code` of a MailError, "" for none. error: the sentence for a person.
    unchanged_at: when EXAMINE alone showed that nothing is new; the caller saves that, for many folders at once
        (no_change.write).
    """

    folder_id: int | None = None
    fetched: int = 0
    updated: int = 0
    quarantined: int = 0
    bytes: int = 0
    seconds: float = 0.0
    error_code: str = ""
    error: str = ""
    more_waiting: bool = False
    note: str = ""
    unchanged_at: datetime | None = None

    def tell(self, sentence: str) -> None:
        """Add a sentence to the note."""
        self.note = f"{self.note} {sentence}".strip()

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.error_code

    @property
    def is_unchanged(self) -> bool:
        """Whether the report needs no line: no failure, no change, no note."""
        return self.ok and not (self.fetched or self.updated or self.quarantined or self.more_waiting or self.note)


def count_run(account_id: int, outcome: SyncOutcome, now: datetime) -> None:
    """Add a folder's sync to the hourly counters of its account."""
    ended = Counter.Name.SYNC_SUCCESSES if outcome.ok else Counter.Name.SYNC_FAILURES
    amounts = {Counter.Name.SYNC_ATTEMPTS: 1, ended: 1, Counter.Name.MESSAGES_RECEIVED: outcome.fetched}
    Counter.add_all(account_id, amounts, now)


def succeeded(at: datetime) -> dict[str, Any]:
    """The columns of SyncState that say that a folder was looked at without a failure."""
    no_failure = {"next_allowed_at": None, "failure_count": 0, "last_error_code": "", "last_error": ""}
    return {"last_attempt_at": at, "last_success_at": at, **no_failure}


def failed(
    account_id: int, name: str, error: MailError, now: datetime, outcome: SyncOutcome | None = None
) -> SyncOutcome:
    """Save a failure in the outcome and on the folder's state: the error, one more failure, when the next try may be.

    Busy is not saved on the folder: another worker syncs it. A refused sign-in starts no backoff of the folder: it is
    noted on the transport, and new credentials must make the folder due at once.
    """
    outcome = outcome or SyncOutcome()
    outcome.error_code, outcome.error = error.code, str(error)
    if isinstance(error, Busy):
        return outcome
    folder = Folder.objects.filter(account_id=account_id, name=name).first()
    if folder is None and name == "INBOX":  # INBOX always exists, and its state must hold the backoff
        folder = folder_for(account_id, name)
    if folder is not None:
        outcome.folder_id = folder.pk
        state, _ = SyncState.objects.get_or_create(account_id=account_id, folder=folder)
        wait = timedelta(seconds=backoff_wait(state.failure_count, error.wait_seconds))
        SyncState.objects.filter(pk=state.pk).update(
            failure_count=state.failure_count + 1,
            next_allowed_at=None if isinstance(error, SignInRefused) else now + wait,
            last_error_code=outcome.error_code,
            last_error=outcome.error,
            last_attempt_at=now,
        )
    count_run(account_id, outcome, now)
    event(
        logger, "sync_failed", logging.WARNING,
        account=account_id, folder=name, error_code=outcome.error_code, error=provider_words(outcome.error),
    )  # fmt: skip
    return outcome
