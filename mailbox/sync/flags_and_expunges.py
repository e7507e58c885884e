"""Flags, labels and expunges follow the server, and now and then everything is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from mailbox.clocks import is_due
from mailbox.errors import ProviderError
from mailbox.imap.fetch import Changes, FlagsAndLabels
from mailbox.imap.session import FolderStatus
from mailbox.messages import places
from mailbox.models import LetGo, MessagePlace, Quarantine, SyncState
from mailbox.sync.batches import FolderRun
from mailbox.sync.plan import MAX_UID, Walk
from mailbox.sync.reassigned_uids import modseq_fell, uidnext_fell

FLAG_WINDOW = 500  # the newest messages, whose flags are asked for in each run where the server has no CONDSTORE
COMPARE_EVERY = timedelta(hours=6)
# While much is still to be fetched, where it takes questions of its own (QRESYNC answers them with EXAMINE).
FOLLOW_EVERY = timedelta(minutes=3)
CHUNK = 500  # places in one transaction
RANGES = 100  # in one question to the database
MOST_MENDED = 1000  # messages fetched for one comparison; the next run goes on


def comparison_is_due(state: SyncState, status: FolderStatus, now: datetime) -> bool:
    """Now and then; and at once when mod-sequences fell, as after a server's restore: what they say is not of ours."""
    if modseq_fell(state, status):
        return True
    return state.compared_at is not None and is_due(state.compared_at, COMPARE_EVERY, now)


def is_due_meanwhile(state: SyncState, now: datetime) -> bool:
    """Whether a run that does not reach the folder's end should look at what it holds already."""
    return is_due(state.followed_at, FOLLOW_EVERY, now)


def apply_changes(run: FolderRun, changes: Changes, former_uidnext: int | None) -> int:
    """Bring in line what QRESYNC says has changed; returns how many of those below `former_uidnext` are gone."""
    _store(run, changes.flags)
    gone = _held_within(run, changes.vanished)
    for chunk in _chunks(gone):
        _drop(run, chunk)
    return sum(former_uidnext is not None and uid < former_uidnext for uid in gone)


def _held_within(run: FolderRun, ranges: Sequence[tuple[int, int]]) -> set[int]:
    """The UIDs we hold of these ranges, which may span all there can be."""
    held: set[int] = set()
    for start in range(0, len(ranges), RANGES):
        wanted = Q()
        for low, high in ranges[start : start + RANGES]:
            wanted |= Q(uid__gte=low, uid__lte=high)
        held |= _known(run, wanted)
    return held


def follow_flags(run: FolderRun, status: FolderStatus, known_modseq: int | None, *, all_of_them: bool) -> None:
    """Bring the flags in line: by CONDSTORE what changed (RFC 7162), without it the newest, or all."""
    if run.stretch is None or (known_modseq and known_modseq == status.highestmodseq and not all_of_them):
        return None
    if known_modseq and status.highestmodseq and not all_of_them:
        try:
            changed = run.session.imap.fetch_changed_flags(run.stretch.low, run.stretch.high, known_modseq)
        except ProviderError:  # it states mod-sequences and refuses to be asked by them
            pass
        else:
            return _store(run, changed)
    uids = places.recent_uids(run.folder, run.uidvalidity, None if all_of_them else FLAG_WINDOW)
    for start in range(0, len(uids), CHUNK):
        _store(run, run.session.imap.fetch_flags(uids[start : start + CHUNK]))
    return None


def _store(run: FolderRun, flags: Mapping[int, FlagsAndLabels]) -> None:
    uids = sorted(flags)
    for start in range(0, len(uids), CHUNK):
        chunk = {uid: flags[uid] for uid in uids[start : start + CHUNK]}
        if changes := places.differing(run.folder, run.uidvalidity, chunk):
            with transaction.atomic():
                run.session.renew()
                run.counts.updated += places.store_flags(changes, chunk, run.session.clock())


def follow_expunges(
    run: FolderRun, status: FolderStatus, former: SyncState, *, compare: bool, vanished: int = 0
) -> tuple[bool, str]:
    """Hide what the server no longer has, and fetch what is missing here. Returns (it is all in line, a note).

    Call it when nothing is left to fetch, so that a mail moved here from another folder is known before its former
    place goes. UIDs are never used twice: when the folder holds as many as it held and arrived, less those that
    QRESYNC said have `vanished`, nothing else is gone. Where UIDNEXT fell, UIDs will be used twice: all are compared.
    """
    stretch = run.stretch
    if stretch is None or stretch.low > 1:
        return True, ""
    by_count = not compare and not uidnext_fell(former, status)
    if by_count and (_is_in_line(run, former, status, vanished) or len(_known(run)) == status.exists):
        return True, ""
    found, is_whole = _search(run)
    if not is_whole:
        if not compare:
            return False, ""
        found = _with_those_it_left_out(run, found)
    above = [uid for uid in found if uid > stretch.high]
    if above:  # the server's UIDNEXT hid them
        run.fetch(Walk("up", stretch.high + 1, above[-1]), above[:MOST_MENDED], last=False)
    in_line, note = _bring_in_line(run, {uid for uid in found if uid <= stretch.high})
    return in_line and len(above) <= MOST_MENDED, note


def follow_expunges_meanwhile(run: FolderRun) -> None:
    """While older mail is still to come: hide what is gone of what has come."""
    stretch = run.stretch
    found, is_whole = _search(run) if stretch is not None else ([], False)
    if stretch is not None and is_whole:
        known = _known(run, Q(uid__gte=stretch.low, uid__lte=stretch.high))
        for chunk in _chunks(known.difference(found)):
            _drop(run, chunk)


def _search(run: FolderRun) -> tuple[list[int], bool]:
    """Every UID on the server, and whether that is all: a SEARCH that was cut short, or crossed by another client's
    change, proves of nothing that it is gone. Raises ProviderError when the folder was renumbered meanwhile."""
    found = run.session.imap.search_uids(1, MAX_UID)
    status = run.session.imap.examine(run.folder.name)
    if status.uidvalidity != run.uidvalidity:
        raise ProviderError("UIDVALIDITY changed while the folder was read; the next run goes on with the new one.")
    return found, len(found) == status.exists


def _with_those_it_left_out(run: FolderRun, found: list[int]) -> list[int]:
    """Some servers' EXISTS never equals their SEARCH. What SEARCH leaves out and we hold is asked for by its UID: only
    what FETCH does not know either is gone."""
    return sorted({*found, *run.session.imap.fetch_known_uids(sorted(_known(run).difference(found)))})


def _is_in_line(run: FolderRun, former: SyncState, status: FolderStatus, vanished: int) -> bool:
    """By counting only what came since the last finished run, which may be more than this run fetched."""
    if former.compared_at is None or former.more_waiting or former.uidvalidity != status.uidvalidity:
        return False
    if former.exists is None or former.uidnext is None or status.uidnext is None:
        return False
    return former.exists - vanished + len(_known(run, Q(uid__gte=former.uidnext))) == status.exists


def _known(run: FolderRun, which: Q | None = None) -> set[int]:
    where = Q(folder=run.folder, uidvalidity=run.uidvalidity) & (which or Q())
    lying = MessagePlace.objects.present().filter(where).values_list("uid", flat=True)
    quarantined = Quarantine.objects.open().filter(where).values_list("uid", flat=True)
    # A rule of retention removed these: the server has them, and they are not fetched again.
    return set(lying).union(quarantined, LetGo.objects.filter(where).values_list("uid", flat=True))


def _bring_in_line(run: FolderRun, found: set[int]) -> tuple[bool, str]:
    known = _known(run)
    for chunk in _chunks(known - found):
        _drop(run, chunk)
    missing = sorted(found - known)
    if missing:
        some = missing[:MOST_MENDED]
        run.fetch(Walk("up", some[0], some[-1]), some, last=False)  # within the stretch: no cursor moves
    note = f"{len(missing)} messages on the server were missing here; they are fetched." if missing else ""
    return len(missing) <= MOST_MENDED, note


def _drop(run: FolderRun, uids: Sequence[int]) -> None:
    where = Q(folder=run.folder, uidvalidity=run.uidvalidity, uid__in=uids)
    with transaction.atomic():
        run.session.renew()
        now = run.session.clock()
        run.counts.updated += places.drop(where, now)
        Quarantine.objects.open().filter(where).update(resolved_at=now, fetch_requested_at=None)
        LetGo.objects.filter(where).delete()


def _chunks(uids: set[int]) -> list[list[int]]:
    ordered = sorted(uids)
    return [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]
