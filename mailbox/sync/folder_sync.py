"""One folder, one run: claim -> connect -> status -> plan -> fetch -> parse -> store -> finalize."""

from __future__ import annotations

import time
from datetime import datetime

from django.utils import timezone

from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import Busy, MailError, OverQuota, ProviderError, StorageError, Throttled
from mailbox.held_lease import Clock
from mailbox.imap.session import FolderStatus, KnownFolder
from mailbox.models import Account, Folder, SyncState
from mailbox.models.account_words import SITE_MAIL_IS_NOT_FETCHED
from mailbox.parsing import pool as parsing_pool
from mailbox.sync import no_change, uidvalidity
from mailbox.sync.account_session import AccountSession, pause_account, signed_in
from mailbox.sync.folder_run import FolderRun
from mailbox.sync.folders import canonical, discover, folder_for
from mailbox.sync.job import run_job
from mailbox.sync.outcome import SyncOutcome, count_run, failed
from mailbox.sync.prefetch import MessageBudget
from mailbox.sync.state_rows import states_of

LISTING_WAIT_SECONDS = 60  # how long a listing waits for a sync of the account that is running


def sync(
    account_id: int,
    folder: str = "INBOX",
    cursor: int | None = None,
    max_messages: int = 100,
    *,
    now: datetime | None = None,
) -> SyncOutcome:
    """Sign in and fetch up to `max_messages` of a folder.

    cursor: None goes on from the stored cursors. A UID fetches what lies above it, oldest first, and never lowers the
        stored cursor.

    A MailError is returned in the outcome; Account.DoesNotExist and bugs are raised.
    """
    account, folder = Account.objects.with_transports().get(pk=account_id), canonical(folder)
    clock: Clock = timezone.now if now is None else lambda: now
    started = time.monotonic()
    try:
        with signed_in(account, clock) as session:
            outcome = sync_folder(session, folder, MessageBudget(max_messages), cursor)
            if outcome.unchanged_at:
                with session.transaction():
                    no_change.write({account_id: [outcome]})
            return outcome
    except MailError as error:
        return failed(account_id, folder, error, clock(), SyncOutcome(seconds=time.monotonic() - started))


def discover_folders(account_id: int) -> None:
    """List the folders on the server and update their rows. Raises MailError, Account.DoesNotExist.

    It takes the sync lease, so that an account never has more than three connections (sync, push, Sent). Raises Busy
    when a sync holds the lease for LISTING_WAIT_SECONDS; then the next sync lists the folders.
    """
    account = Account.objects.with_transports().get(pk=account_id)
    try:
        with signed_in(account, timezone.now, wait_seconds=LISTING_WAIT_SECONDS) as session:
            discover(account, session.imap, timezone.now())
    except Busy:
        Account.objects.filter(pk=account_id).update(folders_listed_at=None)
        raise
    account.imap.mark_signed_in()


def sync_folder(session: AccountSession, name: str, budget: MessageBudget, cursor: int | None = None) -> SyncOutcome:
    """Sync one folder on an open connection. A MailError, or a failure of the database, is saved on the folder and
    returned in the outcome.

    `cursor`: fetch only above this UID, oldest first.
    """
    started, account = time.monotonic(), session.account
    outcome = SyncOutcome()
    try:
        if account.sends_site_mail:  # its Sent folder and its bounces contain links that sign people in
            raise ProviderError(SITE_MAIL_IS_NOT_FETCHED)
        state, status = _opened(session, name)
        outcome.folder_id = state.folder_id
        now = session.clock()
        if cursor is None and no_change.nothing_new(account, state, status, now):
            outcome.unchanged_at = now
        else:
            run = FolderRun(session, state, status, outcome)
            with parsing_pool.running(), run.attempts.forgiving():
                run_job(run, cursor, budget)
            count_run(account.pk, outcome, session.clock())
    except (MailError, *DATABASE_TROUBLE) as trouble:
        error = trouble if isinstance(trouble, MailError) else StorageError(f"The database failed: {trouble}")
        if isinstance(error, Throttled | OverQuota):  # concerns the whole account, not this folder alone
            pause_account(account, error, session.clock())
        failed(account.pk, name, error, session.clock(), outcome)
    outcome.seconds = time.monotonic() - started
    if alerts := session.imap.alerts:
        account.imap.note_alert(" ".join(alerts), session.clock())
    return outcome


def _opened(session: AccountSession, name: str) -> tuple[SyncState, FolderStatus]:
    """EXAMINE the folder, with QRESYNC where it is known; make its rows if it is new. Raises MailError."""
    state = session.states.pop(name, None) or states_of(session.account, [name]).get(name)
    if state is not None and state.stopped_at is not None:
        raise uidvalidity.FolderStopped(uidvalidity.STOPPED)
    try:
        status = session.imap.examine(name, _known(state) if state else None)
    except ProviderError:
        if state is not None:  # it may be deleted or renamed: have the next turn list the folders
            Account.objects.filter(pk=session.account.pk).update(folders_listed_at=None)
        raise
    if state is None:
        folder = folder_for(session.account.pk, name)
        state, _ = SyncState.objects.get_or_create(account=session.account, folder=folder)
    if status.mailbox_id and status.mailbox_id != state.folder.mailbox_id:
        Folder.objects.filter(pk=state.folder_id).update(mailbox_id=status.mailbox_id)
    if state.news_at:
        SyncState.objects.filter(pk=state.pk, news_at=state.news_at).update(news_at=None)
    return state, status


def _known(state: SyncState) -> KnownFolder | None:
    if not state.uidvalidity or not state.highestmodseq or not state.backfill_cursor:
        return None
    return KnownFolder(state.uidvalidity, state.highestmodseq, state.backfill_cursor, max(state.cursor, 1))
