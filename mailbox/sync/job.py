"""One sync of a folder that is open: fetch new and older messages, follow flags and expunges, save the state."""

from __future__ import annotations

from dataclasses import replace

from mailbox.imap.session import FolderStatus
from mailbox.models import Folder, SyncState
from mailbox.sync import flags_and_expunges, plan, reassigned_uids, requested, uidvalidity
from mailbox.sync.account_session import AccountSession
from mailbox.sync.batches import FolderRun
from mailbox.sync.outcome import SyncOutcome
from mailbox.sync.poison import Attempts
from mailbox.sync.prefetch import MessageBudget, metas_in_range

MORE_WAITING = "More is waiting."


def run_job(
    session: AccountSession,
    state: SyncState,
    status: FolderStatus,
    cursor: int | None,
    budget: MessageBudget,
    outcome: SyncOutcome,
) -> None:
    """Sync the open folder. Raises MailError.

    state: the folder's row, with the folder; it is changed in memory as well.
    status: the server's answer to EXAMINE.
    cursor: fetch only what lies above this UID; None goes on from the state.
    outcome: what was done is added to it.
    """
    folder: Folder = state.folder
    planned = _planned(state, status, cursor)
    if planned.restarted:
        uidvalidity.begin(session, state, status)
    elif state.uidvalidity is None:
        # The first sync. Whatever changes from now on has a higher mod-sequence: saved first, in case this run fails.
        state.highestmodseq = status.highestmodseq
        new = {"uidvalidity": status.uidvalidity, "highestmodseq": status.highestmodseq}
        SyncState.objects.filter(pk=state.pk, uidvalidity=None).update(cursor=0, backfill_cursor=None, **new)
    attempts = Attempts(state.pk, dict(state.begun))
    run = FolderRun(session, folder, state.pk, status.uidvalidity, planned.start, outcome, attempts)
    if not planned.restarted and reassigned_uids.compare_after_a_fall(run, state, status):
        planned = _begun_anew(run, state, status, cursor)
    more_asked = requested.fetch_asked(run)
    vanished = 0
    if status.changes is not None and not planned.restarted:
        vanished = flags_and_expunges.apply_changes(run, status.changes, state, status)
    note, more = _walk_all(run, state, planned, status, budget)
    if run.has_put_off and not more_asked:
        more_asked = requested.fetch_asked(run)
    notes = [note] if note else []
    if more or cursor is not None:
        marks_followed = status.changes is not None or _follow_meanwhile(run, status, state)
        _finalize(session, state, status, more=more, followed=False, marks_followed=marks_followed)
    else:
        if state.former_places or (state.renumbered_count and not planned.restarted):
            uidvalidity.finish(run, state, changed_now=planned.restarted)
        told, more = _compare_and_follow(run, state, status, vanished)
        notes += [told] if told else []
    outcome.more_waiting = more or more_asked
    outcome.note = " ".join([*notes, *([MORE_WAITING] if outcome.more_waiting else [])])


def _planned(state: SyncState, status: FolderStatus, cursor: int | None) -> plan.SyncPlan:
    return plan.plan(
        uidvalidity=state.uidvalidity,
        cursor=state.cursor,
        backfill_cursor=state.backfill_cursor,
        status=status,
        from_cursor=cursor,
        exists=state.exists,
    )


def _begun_anew(run: FolderRun, state: SyncState, status: FolderStatus, cursor: int | None = None) -> plan.SyncPlan:
    """Plan anew after the server gave known UIDs to other messages: as if UIDVALIDITY had changed."""
    uidvalidity.begin(run.session, state, status)
    run.stretch, run.attempts = None, Attempts(state.pk, {})
    return replace(_planned(state, status, cursor), restarted=True)


def _compare_and_follow(run: FolderRun, state: SyncState, status: FolderStatus, vanished: int) -> tuple[str, bool]:
    """Follow flags and expunges, and compare all UIDs when that is due; everything on the server was fetched.

    Returns a note for the report, and whether more is waiting.
    """
    compare = flags_and_expunges.comparison_is_due(state, status, run.session.clock())
    if compare:
        found = reassigned_uids.compare(run)
        if found.is_reassigned:
            _begun_anew(run, state, status)
            _finalize(run.session, state, status, more=True, followed=False)
            return uidvalidity.REASSIGNED, True
        reassigned_uids.fetch_changed(run, found.changed)
    if status.changes is None or compare:
        flags_and_expunges.follow_flags(run, status, state.highestmodseq, all_of_them=compare)
    in_line, mended = flags_and_expunges.follow_expunges(run, status, state, compare=compare, vanished=vanished)
    _finalize(run.session, state, status, more=False, followed=True, compared=compare and in_line, in_line=in_line)
    return mended, False


def _walk_all(
    run: FolderRun, state: SyncState, planned: plan.SyncPlan, status: FolderStatus, budget: MessageBudget
) -> tuple[str, bool]:
    """Fetch on all walks of the plan, as the budget allows.

    Returns a note about a changed UIDVALIDITY ("" for none), and whether more is waiting.
    """
    relinker, tells = None, planned.restarted
    if state.surveyed_uid is not None:
        tells = state.surveyed_uid < plan.MAX_UID
        if not uidvalidity.survey(run, state, status):
            return "", True
        relinker = uidvalidity.Relinker(run)
    more = False
    for walk in planned.walks:
        done = _walk(run, walk, budget, relinker)
        more = more or not done
    if not tells:
        return "", more
    kept = 0 if relinker is None else uidvalidity.expected(run) if more else relinker.kept
    return uidvalidity.note(state, kept, status.exists, is_whole=not more), more


def _walk(run: FolderRun, walk: plan.Walk, budget: MessageBudget, relinker: uidvalidity.Relinker | None) -> bool:
    """Fetch on one walk, as the budget allows; return whether none is left on it."""
    imap = run.session.imap
    if relinker is None and walk.direction == "up" and walk.high - walk.low < min(budget.left, plan.FIRST_WINDOW):
        there = metas_in_range(imap, walk.low, walk.high)  # few UIDs: FETCH of the range without SEARCH
        return run.fetch(walk, there, budget, known=there)
    is_done = (relinker or run).fetch(walk, plan.uids_of(walk, imap.search_uids), budget)
    if is_done:
        run.finish(walk)
    return is_done


def _follow_meanwhile(run: FolderRun, status: FolderStatus, state: SyncState) -> bool:
    """During a long backfill, follow flags and expunges of what is stored already, every FOLLOW_EVERY.

    Returns whether it did.
    """
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
    """Save the folder's state after a run without failure, and clear the failures of folder and transport.

    more: messages are left to fetch. followed: flags and expunges are as in `status`. marks_followed: the flags are.
    compared: all UIDs were compared, and agree. in_line: the UIDs agree; if not, the next run compares again.
    """
    now, marks_followed = session.clock(), marks_followed or followed
    same = former.uidvalidity == status.uidvalidity and former.highestmodseq is not None
    done = followed and in_line
    # Not when another worker has saved a new UIDVALIDITY meanwhile: our numbers belong to the former one.
    SyncState.objects.filter(pk=former.pk, uidvalidity=status.uidvalidity).update(
        uidnext=status.uidnext if followed or more else former.uidnext,
        # The former value stays until flags were followed: the changes since then have higher mod-sequences.
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
    marks = ("needs_sign_in_since", "failure_count", "last_reply", "next_allowed_at", "failing_since")
    if any(getattr(transport, mark) for mark in marks):
        transport.mark_signed_in()
