"""Detects UIDs that the server reassigned to other messages without changing UIDVALIDITY, as after a restored backup.

RFC 3501, 2.3.1.1 forbids it, and it happens. A UID still names the message that we hold when INTERNALDATE and
RFC822.SIZE are as before. When they differ, the header decides, since some servers only estimate sizes (Exchange).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from mailbox.chunks import chunks
from mailbox.imap.session import FolderStatus
from mailbox.messages import places
from mailbox.models import LetGo, MessagePlace, Quarantine, SyncState
from mailbox.sync.folder_run import FolderRun
from mailbox.sync.plan import MAX_UID

CHUNK = 500  # UIDs in one FETCH
NEWEST = 500  # UIDs to compare when UIDNEXT fell: a restored server reassigns the UIDs above its own highest
HEADERS = 100  # headers to compare in one chunk; a server that reassigned UIDs did so to all of the highest


PlaceOrLetGo = MessagePlace | LetGo


def modseq_fell(state: SyncState, status: FolderStatus) -> bool:
    """Whether HIGHESTMODSEQ is lower than before, as on a restored server: otherwise it only grows (RFC 7162)."""
    return bool(state.highestmodseq and status.highestmodseq and status.highestmodseq < state.highestmodseq)


def uidnext_fell(state: SyncState, status: FolderStatus) -> bool:
    """Whether UIDNEXT is lower than before, or not above a UID we hold: the server will assign UIDs a second time."""
    if status.uidnext is None or state.backfill_cursor is None:
        return False
    return status.uidnext < max(state.uidnext or 0, state.cursor + 1)


def found_after_a_fall(run: FolderRun) -> bool:
    """Whether UIDs were reassigned. Compares only when HIGHESTMODSEQ or UIDNEXT fell; no fall, no comparison."""
    if modseq_fell(run.state, run.status):
        return compare(run) is None
    if uidnext_fell(run.state, run.status):
        return compare(run, below=run.status.uidnext or MAX_UID, newest=NEWEST) is None
    return False


def compare(run: FolderRun, *, below: int = MAX_UID + 1, newest: int | None = None) -> list[int] | None:
    """Compare INTERNALDATE and RFC822.SIZE of the UIDs we hold with the server's, the newest first.

    UIDs whose message a retention rule removed are compared too: new mail under such a UID would never be fetched.
    below: only UIDs below this one. newest: only this many; None: all.

    Returns the UIDs whose date or size alone is another; None when a UID names another message now.
    """
    changed: list[int] = []
    held: QuerySet[Any] = MessagePlace.objects.present().filter(run.here)
    let_go: QuerySet[Any] = LetGo.objects.filter(run.here, received_at__isnull=False)
    for rows in (held, let_go):
        uids = list(rows.filter(uid__lt=below).order_by("-uid").values_list("uid", flat=True)[:newest])
        for some in chunks(uids, CHUNK):
            columns = rows.filter(uid__in=some).only("uid", "received_at", "size", "header_digest")
            ours: dict[int, PlaceOrLetGo] = {row.uid: row for row in columns}
            metas = run.session.imap.fetch_meta(sorted(ours))
            differing = [uid for uid, place in ours.items() if uid in metas and not places.agrees(place, metas[uid])]
            if _has_other_headers(run, ours, differing):
                return None
            changed += [uid for uid in differing if rows is held]
    return changed + _quarantined_otherwise(run)


def _has_other_headers(run: FolderRun, ours: dict[int, PlaceOrLetGo], differing: Sequence[int]) -> bool:
    asked = sorted(differing, reverse=True)[:HEADERS]
    answer = run.session.imap.fetch_header_digests(asked)
    return any(digest != ours[uid].header_digest for uid, (_, digest) in answer.items())


def _quarantined_otherwise(run: FolderRun) -> list[int]:
    """UIDs in quarantine whose message has another size now: it may be another one, which can be fetched."""
    rows = Quarantine.objects.open().filter(run.here, size__gt=0)
    sizes = dict(rows.values_list("uid", "size"))
    metas = run.session.imap.fetch_meta(sorted(sizes)).values()
    return [meta.uid for meta in metas if meta.size and meta.size != sizes[meta.uid]]
