"""Walks a folder anew after its UIDVALIDITY changed: all known UIDs are meaningless then (RFC 3501, 2.3.1.1).

The same is done when the server reassigned UIDs under the same UIDVALIDITY (`reassigned_uids`): the places we hold get
a UIDVALIDITY that no server states, and are then handled like those of a former one.

A message is kept rather than downloaded again when it is surely the same: when its INTERNALDATE, size and header digest
occur once among ours and once on the server. To know what occurs once, a survey first reads dates and sizes of all the
server's messages; then the folder is walked as usual.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice
from typing import Any

from django.db.models import Count, Min

from mailbox.chunks import chunks
from mailbox.errors import ProviderError
from mailbox.imap.fetch import FlagsAndLabels
from mailbox.imap.session import MessageMeta
from mailbox.messages import places
from mailbox.models import Folder, LetGo, MessagePlace, Quarantine, SurveyedUid, SyncState
from mailbox.sync import plan
from mailbox.sync.folder_run import FolderRun
from mailbox.sync.prefetch import MessageBudget

MOST_IN_A_ROW = 5
SURVEYED_AT_ONCE = 20_000  # messages whose date and size one run asks for, about 2 MB
CHUNK = 500
MOVED = ["uid", "uidvalidity", "gone_at", *places.FLAG_FIELDS]
MOST_ALIKE = 20  # messages of one date and size to compare; if there are more, they are fetched
Pair = tuple[object, int]  # INTERNALDATE, size
Kept = tuple[MessagePlace, FlagsAndLabels]  # a place of ours, and its flags on the server


class FolderStopped(ProviderError):
    """UIDVALIDITY changed MOST_IN_A_ROW times in a row: nothing is fetched until a person resumes the folder."""

    code = "stopped"


STOPPED = (
    f"The server changed the folder's UIDVALIDITY {MOST_IN_A_ROW} times in a row, so each time all of it has to be "
    "compared or fetched again. Fetching is stopped until somebody lets it go on; no mail is lost."
)
REASSIGNED = "The server gave UIDs to other messages without changing UIDVALIDITY, as after a restore."


def begin(run: FolderRun) -> None:
    """Save the new UIDVALIDITY and reset the cursors; raise FolderStopped at the MOST_IN_A_ROW-th change in a row.

    When the server states the known UIDVALIDITY, its UIDs were reassigned.
    """
    session, state, status, count = run.session, run.state, run.status, run.state.renumbered_count + 1
    is_reassigned = state.uidvalidity == status.uidvalidity
    former = _unused_uidvalidity(state.folder) if is_reassigned else state.uidvalidity
    has_mail = MessagePlace.objects.present().filter(folder=state.folder).exists()
    fresh: dict[str, Any] = {
        "uidvalidity": status.uidvalidity, "cursor": 0, "backfill_cursor": None, "begun": {},
        "highestmodseq": status.highestmodseq, "exists": None, "uidnext": None,
        "former_uidvalidity": former, "former_places": True, "renumbered_count": count,
        "surveyed_uid": 0 if has_mail else None, "stopped_at": session.clock() if count >= MOST_IN_A_ROW else None,
    }  # fmt: skip
    with session.transaction():
        if is_reassigned:
            for rows in (MessagePlace.objects, Quarantine.objects):
                rows.filter(run.here).update(uidvalidity=former)
        LetGo.objects.filter(folder=state.folder).delete()  # their UIDs belong to other messages now
        SyncState.objects.filter(pk=state.pk).update(**fresh)
        SurveyedUid.objects.filter(folder=state.folder).delete()
    vars(state).update(fresh)
    run.stretch = None
    run.attempts.counts.clear()
    if state.stopped_at:
        raise FolderStopped(STOPPED)


def _unused_uidvalidity(folder: Folder) -> int:
    """A UIDVALIDITY below zero for places whose UIDs were reassigned; servers state positive ones (RFC 3501, 9)."""
    lowest = [
        rows.filter(folder=folder).aggregate(lowest=Min("uidvalidity"))["lowest"] or 0
        for rows in (MessagePlace.objects, Quarantine.objects)
    ]
    return min(*lowest, 0) - 1


def survey(run: FolderRun) -> bool:
    """Read dates and sizes of the new UIDs, SURVEYED_AT_ONCE a run; return whether all were read."""
    begun = run.state.surveyed_uid or 0
    if begun >= plan.MAX_UID:
        return True
    walk = plan.Walk("up", begun + 1, plan.top(run.status, begun))
    uids = list(islice(plan.uids_of(walk, run.session.imap.search_uids), SURVEYED_AT_ONCE + 1))
    for some in chunks(uids[:SURVEYED_AT_ONCE], CHUNK):
        metas = run.session.imap.fetch_meta(some).values()
        alike = {_pair(place) for place in _alike(run, metas)}
        rows = [
            SurveyedUid(folder=run.folder, uidvalidity=run.uidvalidity, uid=meta.uid, received_at=date, size=meta.size)
            for meta in metas
            if (date := meta.internal_date) and (date, meta.size) in alike
        ]
        _note(run, some[-1], rows)
    is_whole = len(uids) <= SURVEYED_AT_ONCE
    if is_whole:
        _note(run, plan.MAX_UID, [])
    return is_whole


def _note(run: FolderRun, surveyed_uid: int, rows: Sequence[SurveyedUid]) -> None:
    with run.session.transaction():
        SurveyedUid.objects.bulk_create(rows, ignore_conflicts=True)
        SyncState.objects.filter(pk=run.state.pk).update(surveyed_uid=surveyed_uid)


def _pair(row: MessagePlace | SurveyedUid) -> Pair:
    return row.received_at, row.size


def _alike(run: FolderRun, metas: Iterable[MessageMeta]) -> list[MessagePlace]:
    """Our places that have the INTERNALDATE and size of one of these messages, whether found again already or not."""
    pairs = {(meta.internal_date, meta.size) for meta in metas}
    dated = MessagePlace.objects.present().filter(folder=run.folder, received_at__in={date for date, _ in pairs})
    return [place for place in dated.order_by("pk") if _pair(place) in pairs]


def expected(run: FolderRun) -> int:
    """An estimate of how many messages will be kept: those whose date and size occur once on the server."""
    rows = SurveyedUid.objects.filter(folder=run.folder).values("received_at", "size").order_by()
    return rows.annotate(number=Count("pk")).filter(number=1).count()


def fetch(run: FolderRun, walk: plan.Walk, uids: Iterator[int], budget: MessageBudget) -> bool:
    """As FolderRun.fetch, after a change of UIDVALIDITY: keeps messages that are surely the same and fetches the rest.

    A kept message moves the cursor in the transaction that gives it its new UID.
    """
    while chunk := list(islice(uids, min(CHUNK, budget.left))):
        metas = run.session.imap.fetch_meta(chunk)
        again = _surely_the_same(run, metas.values())
        for is_kept, group in groupby(chunk, key=again.__contains__):
            some = list(group)
            if is_kept:
                _relink(run, walk, some, again)
            else:
                run.fetch(walk, some, known={uid: metas.get(uid) for uid in some})
        budget.left -= len(chunk)
    return next(uids, None) is None


def _surely_the_same(run: FolderRun, metas: Collection[MessageMeta]) -> dict[int, Kept]:
    """UID -> our place, of those messages whose INTERNALDATE, size and header occur once on either side."""
    ours = [place for place in _alike(run, metas) if not _is_found_again(run, place)]
    surveyed = SurveyedUid.objects.filter(folder=run.folder, received_at__in={place.received_at for place in ours})
    theirs = {row.uid: _pair(row) for row in surveyed} | {meta.uid: (meta.internal_date, meta.size) for meta in metas}
    of_ours, of_theirs = Counter(map(_pair, ours)), Counter(theirs.values())
    few = [uid for uid, pair in theirs.items() if of_ours[pair] and max(of_ours[pair], of_theirs[pair]) <= MOST_ALIKE]
    answer = run.session.imap.fetch_header_digests(sorted(few))
    here = Counter((_pair(place), place.header_digest) for place in ours)
    there = Counter((theirs[uid], digest) for uid, (_, digest) in answer.items())
    by_header = {(_pair(place), place.header_digest): place for place in ours}
    at = dict(MessagePlace.objects.filter(run.here, uid__in=list(answer)).values_list("uid", "pk"))
    same: dict[int, Kept] = {}
    for uid in answer.keys() & {meta.uid for meta in metas}:
        flags, digest = answer[uid]
        found = (theirs[uid], digest)
        if here[found] == there[found] == 1 and _may_move(run, place := by_header[found], uid, at.get(uid)):
            same[uid] = (place, flags)
    return same


def _is_found_again(run: FolderRun, place: MessagePlace) -> bool:
    reached = run.stretch is not None and run.stretch.low <= place.uid <= run.stretch.high
    return reached and place.uidvalidity == run.uidvalidity


def _may_move(run: FolderRun, place: MessagePlace, uid: int, pk_there: int | None) -> bool:
    """Whether the place may get this UID: a server may return to a UIDVALIDITY it had before.

    Then another row of that time may have the UID, or this is one that would be moved to another UID.
    """
    return pk_there in (None, place.pk) and (place.uidvalidity != run.uidvalidity or place.uid == uid)


def _relink(run: FolderRun, walk: plan.Walk, uids: list[int], again: dict[int, Kept]) -> None:
    found = []
    for uid in uids:
        place, flags = again[uid]
        # gone_at may be set: this message may have been fetched just now at another UID, which ended this place.
        vars(place).update(uid=uid, uidvalidity=run.uidvalidity, gone_at=None, **places.columns_of(flags))
        found.append(place)
    with run.moving_to(plan.advanced(run.stretch, walk, uids)):
        MessagePlace.objects.bulk_update(found, MOVED, batch_size=100)
        places.aggregate({place.message_id for place in found}, run.session.clock())
    run.kept += len(found)


def finish(run: FolderRun, *, changed_now: bool) -> None:
    """End the renumbering: the walk is complete, so places that were not found again are gone from the server.

    `changed_now`: UIDVALIDITY changed in this run; otherwise the count of changes in a row starts again at 0.
    """
    now = run.session.clock()
    former = places.other_uidvalidity(run.folder, run.uidvalidity)
    places.drop_in_parts(MessagePlace.objects.present().filter(former), now, run.session.transaction)
    with run.session.transaction():
        Quarantine.objects.open().filter(former).update(resolved_at=now, fetch_requested_at=None)
        SurveyedUid.objects.filter(folder=run.folder).delete()
        SyncState.objects.filter(pk=run.state.pk).update(
            former_places=False,
            former_uidvalidity=None,
            surveyed_uid=None,
            renumbered_count=run.state.renumbered_count if changed_now else 0,
        )


def note(state: SyncState, kept: int, exists: int, *, is_whole: bool) -> str:
    """The sentence for the report. `kept`, `exists`: messages here and there; estimates unless the walk `is_whole`."""
    about = "" if is_whole else "about "
    fetched = "fetched" if is_whole else "to fetch"
    former = state.former_uidvalidity
    happened = f"UIDVALIDITY changed from {former} to {state.uidvalidity}"
    if former is not None and former < 0:
        happened = REASSIGNED.rstrip(".")
    return f"{happened}: {about}{kept} kept, {about}{max(exists - kept, 0)} {fetched}."


def let_go_on(account_id: int, shown_at: datetime | None = None) -> int:
    """Resume the account's stopped folders, as a person asked; return how many there were.

    `shown_at`: when the person's page was made; folders stopped later stay stopped. None: resume all.
    """
    stopped = SyncState.objects.filter(account_id=account_id, stopped_at__isnull=False)
    if shown_at is not None:
        stopped = stopped.filter(stopped_at__lte=shown_at)
    fresh = {"stopped_at": None, "renumbered_count": 0, "failure_count": 0, "next_allowed_at": None}
    return stopped.update(**fresh, last_error="", last_error_code="")
