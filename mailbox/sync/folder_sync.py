"""One folder, one run: claim -> connect -> status -> plan -> fetch -> parse -> store -> finalize."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.db import transaction
from django.utils import timezone

from mailbox.errors import Busy, MailError, OverQuota, ProviderError, Throttled
from mailbox.imap.session import FolderStatus, Known
from mailbox.models import Account, Folder, SyncState
from mailbox.sync import batches, flags_and_expunges, no_change, plan, requested, uidvalidity
from mailbox.sync.account_session import AccountSession, Backoff, Clock, pause_account, signed_in
from mailbox.sync.folders import canonical, discover, folder_for
from mailbox.sync.no_change import Look
from mailbox.sync.outcome import SyncOutcome, count_run, failed, record_failure
from mailbox.sync.poison import Attempts
from mailbox.sync.prefetch import Allowance
from mailbox.sync.state_rows import Held, states_of

MORE_WAITING = "More is waiting."
LISTING_WAIT_SECONDS = 60  # for a sync of the account that runs at this moment
__all__ = ["MORE_WAITING", "SyncOutcome", "discover_folders", "failed", "record_failure", "sync", "sync_folder"]


def sync(
    account_id: int,
    folder: str = "INBOX",
    cursor: int | None = None,
    max_messages: int = 100,
    *,
    now: datetime | None = None,
    wait_seconds: float = 0,
) -> SyncOutcome:
    """Fetch up to `max_messages` of a folder; `cursor=None` resumes from the stored one.

    A given cursor fetches what lies above that UID, oldest first, and never lowers the stored one. `wait_seconds`: how
    long to wait for another sync of this account. Failures that are expected are in the outcome; Account.DoesNotExist
    and bugs are raised.
    """
    account = Account.objects.with_transports().get(pk=account_id)
    clock = _clock(now)
    started = time.monotonic()
    try:
        with signed_in(account, clock, wait_seconds=wait_seconds) as session:
            return sync_folder(session, folder, cursor, max_messages)
    except MailError as error:
        return failed(account, folder, error, clock(), Backoff.from_settings(), time.monotonic() - started)


def discover_folders(account_id: int, *, now: datetime | None = None) -> list[Folder]:
    """Ask the server for its folders and bring the rows in line; raises MailError, Account.DoesNotExist.

    On the sync's one connection, so that an account never has more than three (this, push, the copy in Sent): raises
    Busy when a sync keeps it for long, and that sync then lists the folders.
    """
    account = Account.objects.with_transports().get(pk=account_id)
    clock = _clock(now)
    try:
        with signed_in(account, clock, wait_seconds=LISTING_WAIT_SECONDS) as session:
            found = discover(account, session.imap, clock())
    except Busy:
        Account.objects.filter(pk=account_id).update(folders_listed_at=None)
        raise
    account.imap.mark_signed_in()
    return found


def _clock(now: datetime | None) -> Clock:
    return timezone.now if now is None else lambda: now


def sync_folder(
    session: AccountSession,
    name: str,
    cursor: int | None = None,
    max_messages: int = 100,
    *,
    backoff: Backoff | None = None,
    go_on: Callable[[], bool] = lambda: False,
) -> SyncOutcome:
    """Sync one folder on an open connection. A MailError is recorded on the folder and is the outcome.

    `go_on`: asked each time the job has had its messages, whether it may have more without a new beginning.
    """
    started = time.monotonic()
    tally = batches.Tally()
    try:
        opened = _opened(session, name)
        if cursor is None and (look := _look(session, opened)):
            return SyncOutcome(ok=True, seconds=time.monotonic() - started, look=look if session.owes_looks else None)
        note, more = _run(session, opened, cursor, Allowance(max_messages, go_on), tally)
    except MailError as error:
        wait = backoff or Backoff.from_settings()
        if isinstance(error, Throttled | OverQuota):  # the account is, not this folder alone
            pause_account(session.account, error, session.clock(), wait)
        return failed(session.account, name, error, session.clock(), wait, time.monotonic() - started, tally)
    outcome = SyncOutcome(
        ok=True,
        fetched=tally.fetched,
        updated=tally.updated,
        quarantined=tally.quarantined,
        bytes=tally.bytes,
        seconds=time.monotonic() - started,
        more_waiting=more,
        note=note,
    )
    count_run(session.account, outcome, session.clock())
    return outcome


def _look(session: AccountSession, opened: Opened) -> Look | None:
    """What to write down of a folder without news, which is done here unless the holder of the mailbox does it."""
    held, status, now = opened.held, opened.status, session.clock()
    if held is None or not no_change.nothing_new(session.account, held, status, now):
        return None
    look = Look(opened.state.pk, opened.folder.pk, status, now)
    if not session.owes_looks:
        with transaction.atomic():
            session.renew()
            no_change.write(session.account.pk, [look])
    return look


def _run(
    session: AccountSession, opened: Opened, cursor: int | None, allowance: Allowance, tally: batches.Tally
) -> tuple[str, bool]:
    """One job; returns a note for the report, and whether more waits."""
    folder, state, status = opened.folder, opened.state, opened.status
    planned = plan.plan(
        uidvalidity=state.uidvalidity,
        cursor=state.cursor,
        backfill_cursor=state.backfill_cursor,
        status=status,
        from_cursor=cursor,
    )
    if planned.restarted:
        uidvalidity.begin(session, state, status)
    elif state.uidvalidity is None:
        # From here on what changes has a higher mod-sequence, also when this run ends in the middle.
        state.highestmodseq = status.highestmodseq
        new = {"uidvalidity": status.uidvalidity, "highestmodseq": status.highestmodseq}
        SyncState.objects.filter(pk=state.pk, uidvalidity=None).update(cursor=0, backfill_cursor=None, **new)
    attempts = Attempts(state.pk, dict(state.begun))
    run = batches.FolderRun(session, folder, state.pk, status.uidvalidity, planned.start, tally, attempts)
    more_asked = requested.fetch_asked(run)
    vanished = 0
    if status.changes is not None:
        vanished = flags_and_expunges.apply_changes(run, status.changes, state.uidnext)
    note, more = _walk_all(run, state, planned, status, allowance)
    if run.has_put_off and not more_asked:
        more_asked = requested.fetch_asked(run)
    notes = [note] if note else []
    if more or cursor is not None:
        marks_followed = status.changes is not None or _follow_meanwhile(run, status, state)
        _finalize(session, state, status, more=more, followed=False, marks_followed=marks_followed)
    else:
        if state.former_places or (state.renumbered_count and not planned.restarted):
            uidvalidity.finish(run, state, changed_now=planned.restarted)
        compare = flags_and_expunges.comparison_is_due(state, status, session.clock())
        if status.changes is None or compare:
            flags_and_expunges.follow_flags(run, status, state.highestmodseq, all_of_them=compare)
        in_line, mended = flags_and_expunges.follow_expunges(run, status, state, compare=compare, vanished=vanished)
        notes += [mended] if mended else []
        _finalize(session, state, status, more=False, followed=True, compared=compare and in_line, in_line=in_line)
    more = more or more_asked
    return " ".join([*notes, *([MORE_WAITING] if more else [])]), more


@dataclass(frozen=True)
class Opened:
    """A folder that was just opened. `held` is None when it was never seen before."""

    folder: Folder
    state: SyncState
    status: FolderStatus
    held: Held | None


def _opened(session: AccountSession, name: str) -> Opened:
    """EXAMINE the folder, asking what changed since we last looked; a folder never seen before gets its rows."""
    held = session.held.pop(canonical(name), None)
    if held is None or not held.is_fresh():
        held = states_of(session.account, [canonical(name)]).get(canonical(name))
    state = held.state if held else None
    if state is not None and state.stopped_at is not None:
        raise uidvalidity.FolderStopped(uidvalidity.STOPPED)
    try:
        status = session.imap.examine(name, _known(state))
    except ProviderError:
        if state is not None:  # deleted or renamed, perhaps: the next turn looks, rather than that of tomorrow
            Account.objects.filter(pk=session.account.pk).update(folders_listed_at=None)
        raise
    if state is None:
        folder = folder_for(session.account, name)
        state, _ = SyncState.objects.get_or_create(account=session.account, folder=folder)
        state.folder = folder
    if status.mailbox_id and status.mailbox_id != state.folder.mailbox_id:
        Folder.objects.filter(pk=state.folder_id).update(mailbox_id=status.mailbox_id)
    if state.news_at:
        SyncState.objects.filter(pk=state.pk, news_at=state.news_at).update(news_at=None)
    return Opened(state.folder, state, status, held)


def _known(state: SyncState | None) -> Known | None:
    if state is None or not state.uidvalidity or not state.highestmodseq or not state.backfill_cursor:
        return None
    return Known(state.uidvalidity, state.highestmodseq, state.backfill_cursor, max(state.cursor, 1))


def _walk_all(
    run: batches.FolderRun, state: SyncState, planned: plan.SyncPlan, status: FolderStatus, allowance: Allowance
) -> tuple[str, bool]:
    """Walk as far as is allowed; returns what to tell of a changed UIDVALIDITY, and whether more waits."""
    keeper, tells = None, planned.restarted
    if state.surveyed_uid is not None:
        tells = state.surveyed_uid < plan.MAX_UID
        if not uidvalidity.survey(run, state, status):
            return "", True
        keeper = uidvalidity.Keeper(run)
    more = False
    for walk in planned.walks:
        done = _walk(run, walk, allowance, keeper)
        more = more or not done
    if not tells:
        return "", more
    kept = 0 if keeper is None else uidvalidity.expected(run) if more else keeper.kept
    return uidvalidity.note(state, kept, status.exists, is_whole=not more), more


def _walk(run: batches.FolderRun, walk: plan.Walk, allowance: Allowance, keeper: uidvalidity.Keeper | None) -> bool:
    """Fetch on the walk as far as is allowed; return whether none is left on it."""
    limit = allowance.left
    if keeper is None and walk.direction == "up" and walk.high - walk.low < min(limit, plan.FIRST_WINDOW):
        there = run.session.imap.fetch_range(walk.low, walk.high)  # so few that no SEARCH is needed before
        run.fetch(walk, list(there), last=True, known=there)
        allowance.left -= len(there)
        return True
    found = plan.uids_of(walk, run.session.imap.search_uids)
    if keeper is None:
        return run.fetch_on(walk, found, allowance)
    uids = list(islice(found, limit + 1))
    keeper.fetch(walk, uids[:limit], last=len(uids) <= limit)
    allowance.left -= min(len(uids), limit)
    return len(uids) <= limit


def _follow_meanwhile(run: batches.FolderRun, status: FolderStatus, state: SyncState) -> bool:
    """A long backfill is no reason to show mail that is gone, or unread what was read. Returns whether it was time."""
    if run.stretch is None or not flags_and_expunges.is_due_meanwhile(state, run.session.clock()):
        return False
    flags_and_expunges.follow_flags(run, status, state.highestmodseq, all_of_them=False)
    flags_and_expunges.follow_expunges_meanwhile(run)
    return True


def _finalize(
    session: AccountSession,
    former: SyncState,
    status: FolderStatus,
    *,
    more: bool,
    followed: bool,
    marks_followed: bool = False,
    compared: bool = False,
    in_line: bool = True,
) -> None:
    """`followed`: all is as in `status`; `marks_followed`: at least the flags are. `in_line`: the UIDs are; else the
    next run compares again."""
    now, marks_followed = session.clock(), marks_followed or followed
    same = former.uidvalidity == status.uidvalidity and former.highestmodseq is not None
    done = followed and in_line
    # Not when another worker has met a new UIDVALIDITY meanwhile: what is known of the former one is of no use.
    SyncState.objects.filter(pk=former.pk, uidvalidity=status.uidvalidity).update(
        uidnext=status.uidnext if followed or more else former.uidnext,
        # What changed on messages fetched meanwhile has a higher one: it stays the base until flags are followed.
        highestmodseq=status.highestmodseq if marks_followed or not same else former.highestmodseq,
        followed_at=now if marks_followed or former.followed_at is None else former.followed_at,
        exists=(status.exists if followed or more else former.exists) if in_line else None,
        compared_at=now if compared or (done and former.compared_at is None) else former.compared_at,
        more_waiting=more or (former.more_waiting and not followed),
        next_allowed_at=None,
        failure_count=0,
        last_error_code="",
        last_error="",
        last_attempt_at=now,
        last_success_at=now,
    )
    transport = session.account.imap
    if transport.needs_sign_in_since or transport.failure_count or transport.last_reply or transport.next_allowed_at:
        transport.mark_signed_in()
