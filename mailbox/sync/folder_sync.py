"""One folder's sync: open it, see whether anything is new, fetch on its walks, follow flags and expunges, save."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import Busy, MailError, OverQuota, ProviderError, StorageError, Throttled
from mailbox.imap.session import FolderStatus, KnownFolder
from mailbox.leases.held_lease import Clock
from mailbox.models import Account, Folder, SyncState
from mailbox.models.account_words import SITE_MAIL_IS_NOT_FETCHED
from mailbox.parsing import pool as parsing_pool
from mailbox.sync import flags_and_expunges, no_change, plan, reassigned_uids, requested, uidvalidity
from mailbox.sync.account_session import AccountSession, pause_account, signed_in
from mailbox.sync.folder_run import FolderRun
from mailbox.sync.folders import canonical, discover, folder_for
from mailbox.sync.outcome import SyncOutcome, count_run, failed, succeeded
from mailbox.sync.prefetch import MessageBudget, metas_in_range
from mailbox.sync.state_rows import states_of

MOST_REFETCHED = 1000  # messages in one run whose date or size changed
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
                _run(run, cursor, budget)
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


def _run(run: FolderRun, cursor: int | None, budget: MessageBudget) -> None:
    """Sync the open folder; what was done is added to the run's outcome. Raises MailError.

    cursor: fetch only what lies above this UID; None goes on from the state.
    """
    state, status = run.state, run.status
    # Any difference, not only a larger value, makes the known UIDs meaningless (RFC 3501, 2.3.1.1).
    is_anew = state.uidvalidity not in (None, status.uidvalidity) or reassigned_uids.found_after_a_fall(run)
    if is_anew:
        uidvalidity.begin(run)
    elif state.uidvalidity is None:
        # The first sync. Whatever changes from now on has a higher mod-sequence: saved first, in case this run fails.
        state.highestmodseq = status.highestmodseq
        new = {"uidvalidity": status.uidvalidity, "highestmodseq": status.highestmodseq}
        SyncState.objects.filter(pk=state.pk, uidvalidity=None).update(cursor=0, backfill_cursor=None, **new)
    walks = plan.walks(run.stretch, state.exists, status, cursor)
    vanished = 0
    if status.changes is not None and not is_anew:
        vanished = flags_and_expunges.apply_changes(run, status.changes)
    more = _walk_all(run, walks, budget, is_anew=is_anew)
    more_asked = requested.fetch_asked(run)  # large messages among them: after all others
    if more or cursor is not None:
        flags_followed = status.changes is not None or flags_and_expunges.follow_meanwhile(run)
        _end_partly(run, more=more, flags_followed=flags_followed)
    else:
        if state.former_places or (state.renumbered_count and not is_anew):
            uidvalidity.finish(run, changed_now=is_anew)
        more = _compare_and_follow(run, vanished)
    run.outcome.more_waiting = more or more_asked


def _compare_and_follow(run: FolderRun, vanished: int) -> bool:
    """Follow flags and expunges, and compare all UIDs when that is due; everything on the server was fetched.

    Returns whether more is waiting.
    """
    compare = flags_and_expunges.comparison_is_due(run.state, run.status, run.session.clock())
    if compare:
        changed = reassigned_uids.compare(run)
        if changed is None:
            uidvalidity.begin(run)
            _end_partly(run, more=True, flags_followed=False)
            run.outcome.tell(uidvalidity.REASSIGNED)
            return True
        run.fetch(None, sorted(changed)[:MOST_REFETCHED])
    if run.status.changes is None or compare:
        flags_and_expunges.follow_flags(run, all_of_them=compare)
    in_line = flags_and_expunges.follow_expunges(run, compare=compare, vanished=vanished)
    _end_wholly(run, compared=compare, in_line=in_line)
    return False


def _walk_all(run: FolderRun, walks: Sequence[plan.Walk], budget: MessageBudget, *, is_anew: bool) -> bool:
    """Fetch on all walks, as the budget allows; return whether more is waiting."""
    state, tells = run.state, is_anew
    if state.surveyed_uid is not None:
        tells = state.surveyed_uid < plan.MAX_UID
        if not uidvalidity.survey(run):
            return True
    more = False
    for walk in walks:
        more = not _walk(run, walk, budget) or more
    if tells:
        kept = uidvalidity.expected(run) if more else run.kept
        run.outcome.tell(uidvalidity.note(state, kept, run.status.exists, is_whole=not more))
    return more


def _walk(run: FolderRun, walk: plan.Walk, budget: MessageBudget) -> bool:
    """Fetch on one walk, as the budget allows; return whether none is left on it."""
    imap, keeps_none = run.session.imap, run.state.surveyed_uid is None
    if keeps_none and walk.direction == "up" and walk.high - walk.low < min(budget.left, plan.FIRST_WINDOW):
        there = metas_in_range(imap, walk.low, walk.high)  # few UIDs: FETCH of the range without SEARCH
        return run.fetch(walk, there, budget, known=there)
    found = plan.uids_of(walk, imap.search_uids)
    is_done = run.fetch(walk, found, budget) if keeps_none else uidvalidity.fetch(run, walk, found, budget)
    if is_done:
        run.finish(walk)
    return is_done


def _end_partly(run: FolderRun, *, more: bool, flags_followed: bool) -> None:
    """Save the folder's state after a run that did not get to the end: `more` messages are left to fetch, or only those
    above a given cursor were wanted."""
    former, status, now = run.state, run.status, run.session.clock()
    columns = succeeded(now) | {"more_waiting": more or former.more_waiting}
    if more:  # not when only what lies above a given cursor was fetched
        columns |= {"uidnext": status.uidnext, "exists": status.exists}
    # The former value stays until flags were followed: the changes since then have higher mod-sequences.
    if flags_followed or former.uidvalidity != status.uidvalidity or former.highestmodseq is None:
        columns["highestmodseq"] = status.highestmodseq
    if flags_followed or former.followed_at is None:
        columns["followed_at"] = now
    _save(run, columns)


def _end_wholly(run: FolderRun, *, compared: bool, in_line: bool) -> None:
    """Save the folder's state after a run that fetched all there is and followed flags and expunges.

    compared: all UIDs were compared, and not only counted. in_line: the server's UIDs, or their number, agree with
    ours; otherwise the next run compares them again.
    """
    status, now = run.status, run.session.clock()
    columns = succeeded(now) | {"more_waiting": False, "followed_at": now, "uidnext": status.uidnext}
    columns |= {"highestmodseq": status.highestmodseq, "exists": status.exists if in_line else None}
    if in_line and (compared or run.state.compared_at is None):
        columns["compared_at"] = now
    _save(run, columns)


def _save(run: FolderRun, columns: dict[str, Any]) -> None:
    """Save the columns, and clear the failures of the transport."""
    # Not when another worker has saved a new UIDVALIDITY meanwhile: our numbers belong to the former one.
    SyncState.objects.filter(pk=run.state.pk, uidvalidity=run.uidvalidity).update(**columns)
    if not run.session.account.imap.is_in_order:
        run.session.account.imap.mark_signed_in()
