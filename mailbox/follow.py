"""After the new mail: flags and expunges follow the server, and now and then everything is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from mailbox import places
from mailbox.batch import FolderRun
from mailbox.errors import ProviderError
from mailbox.imap import FolderStatus
from mailbox.models import MessagePlace, Quarantine, SyncState
from mailbox.plan import MAX_UID, Walk

from django.db import transaction
from django.db.models import Q

FLAG_WINDOW = 500  # the newest messages, whose flags are asked for in each run where the server has no CONDSTORE
COMPARE_EVERY = timedelta(hours=6)
CHUNK = 500  # places in one transaction
MOST_MENDED = 1000  # messages fetched for one comparison; the next run goes on


def comparison_is_due(state: SyncState, now: datetime) -> bool:
    return state.compared_at is not None and state.compared_at <= now - COMPARE_EVERY


def follow_flags(run: FolderRun, status: FolderStatus, known_modseq: int | None, *, all_of_them: bool) -> None:
    """Bring the flags in line: by CONDSTORE what changed (RFC 7162), without it the newest, or all."""
    if run.stretch is None or (known_modseq and known_modseq == status.highestmodseq and not all_of_them):
        return None
    if known_modseq and status.highestmodseq and not all_of_them:
        try:
            changed = run.mailbox.imap.fetch_changed_flags(run.stretch.low, run.stretch.high, known_modseq)
        except ProviderError:  # it states mod-sequences and refuses to be asked by them
            pass
        else:
            return _store(run, changed)
    uids = places.recent_uids(run.folder, run.uidvalidity, None if all_of_them else FLAG_WINDOW)
    for start in range(0, len(uids), CHUNK):
        _store(run, run.mailbox.imap.fetch_flags(uids[start : start + CHUNK]))
    return None


def _store(run: FolderRun, flags: Mapping[int, Sequence[str]]) -> None:
    uids = sorted(flags)
    for start in range(0, len(uids), CHUNK):
        chunk = {uid: flags[uid] for uid in uids[start : start + CHUNK]}
        if changes := places.differing(run.folder, run.uidvalidity, chunk):
            with transaction.atomic():
                run.mailbox.renew()
                run.tally.updated += places.store_flags(changes, chunk, run.mailbox.clock())


def follow_expunges(run: FolderRun, status: FolderStatus, former: SyncState, *, compare: bool) -> tuple[bool, str]:
    """Hide what the server no longer has, and fetch what is missing here. Returns (it is all in line, a note).

    Call it when nothing is left to fetch, so that a mail moved here from another folder is known before its former
    place goes. UIDs are never used twice: when the folder holds as many as it held and arrived, nothing is gone.
    """
    stretch = run.stretch
    if stretch is None or stretch.low > 1:
        return True, ""
    if not compare and (_is_in_line(run, former, status) or len(_known(run)) == status.exists):
        return True, ""
    found = run.mailbox.imap.search_uids(1, MAX_UID)
    # A SEARCH that is cut short, or crossed by another client's change, proves nothing: the next run asks again.
    if len(found) != run.mailbox.imap.examine(run.folder.name).exists:
        return False, ""
    above = [uid for uid in found if uid > stretch.high]
    if above:  # the server's UIDNEXT hid them
        run.fetch(Walk("up", stretch.high + 1, above[-1]), above[:MOST_MENDED], last=False)
    in_line, note = _bring_in_line(run, {uid for uid in found if uid <= stretch.high})
    return in_line and len(above) <= MOST_MENDED, note


def _is_in_line(run: FolderRun, former: SyncState, status: FolderStatus) -> bool:
    """By counting only what came since the last finished run, which may be more than this run fetched."""
    if former.compared_at is None or former.more_waiting or former.uidvalidity != status.uidvalidity:
        return False
    if former.exists is None or former.uidnext is None or status.uidnext is None:
        return False
    return former.exists + len(_known(run, former.uidnext)) == status.exists


def _known(run: FolderRun, low: int = 1) -> set[int]:
    where = Q(folder=run.folder, uidvalidity=run.uidvalidity, uid__gte=low)
    lying = MessagePlace.objects.present().filter(where).values_list("uid", flat=True)
    return set(lying).union(Quarantine.objects.open().filter(where).values_list("uid", flat=True))


def _bring_in_line(run: FolderRun, found: set[int]) -> tuple[bool, str]:
    known = _known(run)
    where = Q(folder=run.folder, uidvalidity=run.uidvalidity)
    for chunk in _chunks(known - found):
        with transaction.atomic():
            run.mailbox.renew()
            now = run.mailbox.clock()
            run.tally.updated += places.drop(where & Q(uid__in=chunk), now)
            Quarantine.objects.open().filter(where, uid__in=chunk).update(resolved_at=now, fetch_requested_at=None)
    missing = sorted(found - known)
    if missing:
        some = missing[:MOST_MENDED]
        run.fetch(Walk("up", some[0], some[-1]), some, last=False)  # within the stretch: no cursor moves
    note = f"{len(missing)} messages on the server were missing here; they are fetched." if missing else ""
    return len(missing) <= MOST_MENDED, note


def _chunks(uids: set[int]) -> list[list[int]]:
    ordered = sorted(uids)
    return [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]
