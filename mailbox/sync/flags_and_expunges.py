"""Brings flags, Gmail labels and expunges in line with the server; now and then compares all UIDs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Q

from mailbox.chunks import chunks
from mailbox.clocks import is_due
from mailbox.errors import ProviderError
from mailbox.imap.fetch import Changes, FlagsAndLabels
from mailbox.imap.session import FolderStatus
from mailbox.messages import places
from mailbox.models import LetGo, MessagePlace, Quarantine, SyncState
from mailbox.sync.folder_run import FolderRun
from mailbox.sync.plan import MAX_UID, Walk
from mailbox.sync.reassigned_uids import modseq_fell, uidnext_fell

FLAG_WINDOW = 500  # without CONDSTORE, each run asks for the flags of this many newest messages
COMPARE_EVERY = timedelta(hours=6)
# During a long backfill, on servers without QRESYNC, where flags and expunges take commands of their own.
FOLLOW_EVERY = timedelta(minutes=3)
CHUNK = 500  # places in one transaction
RANGES = 100  # UID ranges in one query
MOST_MENDED = 1000  # missing messages that one comparison fetches; the next run goes on


def comparison_is_due(state: SyncState, status: FolderStatus, now: datetime) -> bool:
    """Whether all UIDs must be compared: every COMPARE_EVERY, and at once when HIGHESTMODSEQ fell.

    It falls when a server was restored from a backup; then mod-sequences say nothing of what we hold.
    """
    return modseq_fell(state, status) or (
        state.compared_at is not None and is_due(state.compared_at, COMPARE_EVERY, now)
    )


def apply_changes(run: FolderRun, changes: Changes) -> int:
    """Apply the changes that QRESYNC reported; return how many messages below the former UIDNEXT vanished.

    Some servers (iCloud, Cyrus) report messages as vanished that are there. Where more are reported than can be
    missing by the counts, SEARCH is asked for them.
    """
    _store(run, changes.flags)
    gone = _held_within(run, changes.vanished)
    if gone and len(gone) > _most_expunged(run.state, run.status):
        gone.difference_update(run.session.imap.search_uids(min(gone), max(gone)))
    drop(run, gone)
    return sum(run.state.uidnext is not None and uid < run.state.uidnext for uid in gone)


def _most_expunged(former: SyncState, status: FolderStatus) -> int:
    """The most messages that can have been expunged since the last run, by EXISTS and UIDNEXT; 0 if unknown."""
    if former.exists is None or former.uidnext is None or status.uidnext is None:
        return 0
    return former.exists + max(status.uidnext - former.uidnext, 0) - status.exists


def _held_within(run: FolderRun, ranges: Sequence[tuple[int, int]]) -> set[int]:
    """The UIDs of these ranges that we hold. A server may state ranges up to the largest UID there can be."""
    held: set[int] = set()
    for some in chunks(ranges, RANGES):
        held |= _known(run, Q.create([Q(uid__range=each) for each in some], connector=Q.OR))
    return held


def follow_flags(run: FolderRun, *, all_of_them: bool) -> None:
    """Fetch flags and store what differs: with CONDSTORE those changed since the last run (RFC 7162), without it those
    of the newest messages. `all_of_them`: of every message."""
    known, now = run.state.highestmodseq, run.status.highestmodseq
    if run.stretch is None or (known and known == now and not all_of_them):
        return None
    if known and now and not all_of_them:
        with suppress(ProviderError):  # the server states mod-sequences but refuses CHANGEDSINCE
            return _store(run, run.session.imap.fetch_changed_flags(run.stretch.low, run.stretch.high, known))
    for uids in chunks(places.recent_uids(run.folder, run.uidvalidity, None if all_of_them else FLAG_WINDOW), CHUNK):
        _store(run, run.session.imap.fetch_flags(uids))
    return None


def _store(run: FolderRun, flags: Mapping[int, FlagsAndLabels]) -> None:
    for uids in chunks(sorted(flags), CHUNK):
        some = {uid: flags[uid] for uid in uids}
        if changes := places.differing(run.folder, run.uidvalidity, some):
            write = partial(places.store_flags, changes, some, run.session.clock())
            run.outcome.updated += run.session.committed(write)


def follow_expunges(run: FolderRun, *, compare: bool, vanished: int = 0) -> bool:
    """Hide messages that the server no longer has and fetch those that are missing here.

    Call it when nothing is left to fetch, so that a message moved here from another folder is stored before its former
    place is hidden. Counting is enough in most runs, as UIDs are never reused: the server must have as many messages
    as before, plus those that arrived, less those `vanished` by QRESYNC. `compare`: compare all UIDs all the same; so
    it is when UIDNEXT fell, since the server will then reuse UIDs.

    Returns whether all UIDs agree now.
    """
    stretch = run.stretch
    if stretch is None or (stretch.low > 1 and run.status.exists > 0):  # of an empty folder no backfill is left
        return True
    is_by_count = not compare and not uidnext_fell(run.state, run.status)
    if is_by_count and _is_in_line(run, vanished):
        return True
    known = _known(run)
    if is_by_count and len(known) == run.status.exists:
        return True
    found, is_whole = _search(run)
    if not is_whole:
        if not compare:
            return False
        # SEARCH left some out, and on some servers EXISTS never agrees with it: a message we hold is gone only when
        # FETCH does not know its UID either.
        found |= run.session.imap.fetch_known_uids(sorted(known - found))
    missing = sorted(uid for uid in found - known if uid <= stretch.high)
    above = sorted(uid for uid in found if uid > stretch.high)  # above the UIDNEXT that the server stated
    if missing:
        run.outcome.tell(f"{len(missing)} messages on the server were missing here; they are fetched.")
        run.fetch(None, missing[:MOST_MENDED])
    if above:
        run.fetch(Walk("up", stretch.high + 1, above[-1]), above[:MOST_MENDED])
    drop(run, known - found)
    return max(len(missing), len(above)) <= MOST_MENDED


def follow_meanwhile(run: FolderRun) -> bool:
    """During a long backfill, follow flags and expunges of what is stored already, every FOLLOW_EVERY.

    Returns whether it did.
    """
    stretch = run.stretch
    if stretch is None or not is_due(run.state.followed_at, FOLLOW_EVERY, run.session.clock()):
        return False
    follow_flags(run, all_of_them=False)
    found, is_whole = _search(run)
    if is_whole:
        drop(run, _known(run, Q(uid__range=(stretch.low, stretch.high))).difference(found))
    return True


def _search(run: FolderRun) -> tuple[set[int], bool]:
    """All UIDs on the server, and whether their number agrees with EXISTS.

    If it does not, SEARCH left some out, or another client changed the folder meanwhile: then a UID that is missing in
    the result may still exist. Raises ProviderError when UIDVALIDITY changed meanwhile.
    """
    found = set(run.session.imap.search_uids(1, MAX_UID))
    status = run.session.imap.examine(run.folder.name)
    if status.uidvalidity != run.uidvalidity:
        raise ProviderError("UIDVALIDITY changed while the folder was read; the next run goes on with the new one.")
    return found, len(found) == status.exists


def _is_in_line(run: FolderRun, vanished: int) -> bool:
    """Whether the counts agree: EXISTS of the last finished run, less `vanished`, plus all that we hold since then."""
    former, status = run.state, run.status
    if former.compared_at is None or former.more_waiting or former.uidvalidity != status.uidvalidity:
        return False
    if former.exists is None or former.uidnext is None or status.uidnext is None:
        return False
    return former.exists - vanished + len(_known(run, Q(uid__gte=former.uidnext))) == status.exists


def _known(run: FolderRun, which: Q | None = None) -> set[int]:
    where = run.here & (which or Q())
    lying = MessagePlace.objects.present().filter(where).values_list("uid", flat=True)
    quarantined = Quarantine.objects.open().filter(where).values_list("uid", flat=True)
    # LetGo: removed here by a retention rule; they are on the server and must not be fetched again.
    return set(lying).union(quarantined, LetGo.objects.filter(where).values_list("uid", flat=True))


def drop(run: FolderRun, uids: Collection[int]) -> None:
    """Hide messages that the server no longer has, and settle what was quarantined or let go of them."""
    for some in chunks(sorted(uids), CHUNK):
        run.outcome.updated += run.session.committed(partial(_drop_some, run, run.here & Q(uid__in=some)))


def _drop_some(run: FolderRun, where: Q) -> int:
    now = run.session.clock()
    dropped = places.drop(where, now)
    Quarantine.objects.open().filter(where).update(resolved_at=now, fetch_requested_at=None)
    LetGo.objects.filter(where).delete()
    return dropped
