"""One sync of a folder that is open: fetch new and older messages, follow flags and expunges, save the state."""

from __future__ import annotations

from collections.abc import Sequence

from mailbox.models import SyncState
from mailbox.sync import flags_and_expunges, plan, reassigned_uids, requested, uidvalidity
from mailbox.sync.folder_run import FolderRun
from mailbox.sync.outcome import succeeded
from mailbox.sync.prefetch import MessageBudget, metas_in_range

MORE_WAITING = "More is waiting."
MOST_REFETCHED = 1000  # messages in one run whose date or size changed


def run_job(run: FolderRun, cursor: int | None, budget: MessageBudget) -> None:
    """Sync the open folder; what was done is added to the run's outcome. Raises MailError.

    cursor: fetch only what lies above this UID; None goes on from the state.
    """
    state, status, outcome = run.state, run.status, run.outcome
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
        marks_followed = status.changes is not None or flags_and_expunges.follow_meanwhile(run)
        _finalize(run, more=more, followed=False, marks_followed=marks_followed)
    else:
        if state.former_places or (state.renumbered_count and not is_anew):
            uidvalidity.finish(run, changed_now=is_anew)
        more = _compare_and_follow(run, vanished)
    outcome.more_waiting = more or more_asked
    if outcome.more_waiting:
        outcome.tell(MORE_WAITING)


def _compare_and_follow(run: FolderRun, vanished: int) -> bool:
    """Follow flags and expunges, and compare all UIDs when that is due; everything on the server was fetched.

    Returns whether more is waiting.
    """
    compare = flags_and_expunges.comparison_is_due(run.state, run.status, run.session.clock())
    if compare:
        changed = reassigned_uids.compare(run)
        if changed is None:
            uidvalidity.begin(run)
            _finalize(run, more=True, followed=False)
            run.outcome.tell(uidvalidity.REASSIGNED)
            return True
        run.fetch(None, sorted(changed)[:MOST_REFETCHED])
    if run.status.changes is None or compare:
        flags_and_expunges.follow_flags(run, all_of_them=compare)
    in_line = flags_and_expunges.follow_expunges(run, compare=compare, vanished=vanished)
    _finalize(run, more=False, followed=True, agree=in_line and (compare or None))
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


def _finalize(
    run: FolderRun, *, more: bool, followed: bool, marks_followed: bool = False, agree: bool | None = None
) -> None:
    """Save the folder's state after a run without failure, and clear the failures of folder and transport.

    more: messages are left to fetch. followed: flags and expunges are as in `status`. marks_followed: the flags are.
    agree: whether all UIDs, which were compared, agree; None if only their number does. False: the next run compares
        them again.
    """
    former, status, now = run.state, run.status, run.session.clock()
    marks_followed, first_compared = marks_followed or followed, followed and former.compared_at is None
    same = former.uidvalidity == status.uidvalidity and former.highestmodseq is not None
    # Not when another worker has saved a new UIDVALIDITY meanwhile: our numbers belong to the former one.
    SyncState.objects.filter(pk=former.pk, uidvalidity=status.uidvalidity).update(
        uidnext=status.uidnext if followed or more else former.uidnext,
        # The former value stays until flags were followed: the changes since then have higher mod-sequences.
        highestmodseq=status.highestmodseq if marks_followed or not same else former.highestmodseq,
        followed_at=now if marks_followed or former.followed_at is None else former.followed_at,
        exists=None if agree is False else status.exists if followed or more else former.exists,
        compared_at=now if agree or (first_compared and agree is None) else former.compared_at,
        more_waiting=more or (former.more_waiting and not followed),
        **succeeded(now),
    )
    if not run.session.account.imap.is_in_order:
        run.session.account.imap.mark_signed_in()
