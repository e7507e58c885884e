"""A sync that finds nothing new: how EXAMINE alone shows it, and how many such folders are saved by two statements.

This is what most syncs are, so it decides what an idle installation costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from mailbox.imap.session import FolderStatus
from mailbox.models import Account, Counter, SyncState
from mailbox.sync import plan
from mailbox.sync.flags_and_expunges import comparison_is_due
from mailbox.sync.outcome import SyncOutcome, succeeded


def nothing_new(account: Account, state: SyncState, status: FolderStatus, now: datetime) -> bool:
    """Whether a full run would find nothing to do. In doubt, False.

    It is so when the server states the same numbers as at the end of the last run, nobody asked for a message, and
    neither a comparison nor the rest of a UIDVALIDITY change is due.
    """
    known = (state.uidvalidity, state.uidnext, state.exists)
    return (
        not state.has_asked
        and not _is_unsettled(state)
        and account.imap.is_in_order
        and state.compared_at is not None
        and not comparison_is_due(state, status, now)
        and status.mailbox_id in ("", state.folder.mailbox_id)
        and status.uidnext is not None
        and known == (status.uidvalidity, status.uidnext, status.exists)
        and _has_no_changes(state, status)
        and not plan.walks(plan.stretch_of(state.backfill_cursor, state.cursor), state.exists, status)
    )


def _is_unsettled(state: SyncState) -> bool:
    left = state.former_places or state.renumbered_count or state.surveyed_uid is not None
    return bool(left or state.stopped_at or state.news_at or state.more_waiting)


def _has_no_changes(state: SyncState, status: FolderStatus) -> bool:
    if status.changes is not None and (status.changes.flags or status.changes.vanished):
        return False
    # HIGHESTMODSEQ shows changed flags. Without CONDSTORE flags must be fetched, unless the folder is empty.
    same = state.highestmodseq is not None and state.highestmodseq == status.highestmodseq
    return same or status.exists == 0


def write(outcomes: Mapping[int, Sequence[SyncOutcome]]) -> None:
    """Save unchanged folders, given by account pk; one statement for their states and one for the counters.

    Call it in a transaction that has checked the accounts' leases: only who holds one changes what the looks were
    compared with. All get the time of the earliest look, so that no folder seems to have been looked at later than it
    was.
    """
    looks = {each.folder_id: at for some in outcomes.values() for each in some if (at := each.unchanged_at)}
    if not looks:
        return
    first = min(looks.values())
    SyncState.objects.filter(folder__in=list(looks)).update(followed_at=first, **succeeded(first))
    names = (Counter.Name.SYNC_ATTEMPTS, Counter.Name.SYNC_SUCCESSES)
    Counter.add_each({(pk, name): len(each) for pk, each in sorted(outcomes.items()) for name in names}, first)
