"""Writes an export piece by piece.

A piece is read and stored outside of any transaction; then one short transaction saves its row and the new position.
So a worker may be killed at any instruction, and two workers may write the same export: a worker that finds that the
export has moved on stops. The raw store's sweep removes the bytes of a piece whose row was not saved.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_noop

from mailbox.clocks import is_stale
from mailbox.errors import StorageError
from mailbox.exports import list_pages, manifest, mbox, zip_pieces
from mailbox.exports.list_pages import ListSource
from mailbox.exports.mails import Cursor, ExportedMail, MailSource
from mailbox.logs import event
from mailbox.models import Export, ExportPart
from mailbox.storage import disk_budget, out_of_reach, raw_store

logger = logging.getLogger(__name__)
PIECE_BYTES = 16 * 1024 * 1024  # of mail in one piece, so in memory; a larger mail makes a piece alone
SLICE_SECONDS = 20.0
STALLED = timedelta(seconds=90)  # after this time without a new piece the worker counts as gone
OTHERS_TRY_FOR = timedelta(minutes=10)  # time for other hosts to read bytes that this host cannot
KEPT = timedelta(days=7)
MOST = 100_000  # mails of an export: the central directory of a zip is made in memory
NO_ROOM = gettext_noop(
    "The disk has no more room than PRX_EMAIL_DISK_RESERVE_MB leaves: it goes on by itself when there is."
)
OUT_OF_REACH = gettext_noop("Stored mail cannot be read on this host at the moment: it goes on by itself.")
TOO_MANY = gettext_noop("There are more than 100,000 messages: narrow the search.")
NOT_ALLOWED = gettext_noop("Whoever asked for it may no longer.")


@dataclass
class Piece:
    """Some mails, or lines of a list, as bytes of the file. `after`: the source's cursor behind them. `missing`: how
    many had no bytes."""

    content: bytes = b""
    lines: list[manifest.Line] = field(default_factory=list)
    entries: list[zip_pieces.Entry] = field(default_factory=list)
    accounts: set[int] = field(default_factory=set)
    mails: int = 0
    missing: int = 0
    after: Cursor = None
    is_cut: bool = False  # this host cannot reach the next mail's bytes
    is_last: bool = False  # the source has no more mails


def next_piece(source: MailSource, form: str, after: Cursor, begin: int, *, waits: bool = False) -> Piece:
    """Read the next mails and make a piece of them. `begin`: bytes of the file so far. `after`: the source's cursor.

    `waits`: end the piece before a mail whose bytes this host cannot reach, so that another host may go on, or this
    one later. Otherwise such a mail counts as missing.
    """
    mails, cursors = source.page(after)
    found = Piece(after=after)
    if not mails:
        found.after, found.is_last = (cursors[0], False) if cursors else (after, True)
        return found
    read: list[tuple[ExportedMail, bytes | None]] = []
    for mail, cursor in zip(mails, cursors, strict=True):
        if read and sum(each.size for each, _ in read) + mail.size > PIECE_BYTES:
            break
        try:
            read.append((mail, _raw(mail.digest, waits=waits)))
        except raw_store.RawOutOfReach:
            found.is_cut = True
            break
        found.after = cursor
    found.mails, found.missing = len(read), sum(raw is None for _, raw in read)
    found.accounts = {mail.account for mail, _ in read}
    there = [(mail, raw) for mail, raw in read if raw is not None]
    where = _as_zip(found, there, begin) if form == Export.Form.ZIP else _as_mbox(found, there, begin)
    found.lines = [each | where.get(mail.name, {}) for mail, _ in read for each in mail.lines]
    return found


def _raw(digest: str, *, waits: bool) -> bytes | None:
    try:
        return raw_store.map_raw(digest)[0]
    except raw_store.RawOutOfReach as missing:
        out_of_reach.note(missing.segment)
        if waits:
            raise
    except raw_store.RawMissing as missing:
        event(logger, "export_lost", logging.WARNING, digest=digest, reason=str(missing))
    return None


def _as_zip(found: Piece, there: list[tuple[ExportedMail, bytes]], begin: int) -> dict[str, dict[str, Any]]:
    files = [(mail.name, raw[:], mail.at) for mail, raw in there]
    found.content, found.entries = zip_pieces.piece(begin, files)
    return {mail.name: {"file": mail.name} for mail, _ in there}


def _as_mbox(found: Piece, there: list[tuple[ExportedMail, bytes]], begin: int) -> dict[str, dict[str, Any]]:
    where, entries = {}, []
    for mail, raw in there:
        entry = mbox.entry(raw, mail.sender, mail.at)
        where[mail.name] = {"offset": begin}
        begin += len(entry)
        entries.append(entry)
    found.content = b"".join(entries)
    return where


def last_piece(
    source: MailSource,
    form: str,
    begin: int,
    lines: Iterator[manifest.Line],
    entries: Iterator[zip_pieces.Entry],
    **about: Any,
) -> bytes:
    """The bytes that end the file: of a zip the manifest, the source's other files and the central directory; of an
    mbox none. `begin`: bytes of the file so far. `about`: the arguments of manifest.as_json."""
    if form != Export.Form.ZIP:
        return b""
    said = list(lines)
    files = [("manifest.csv", manifest.as_csv(said)), ("manifest.json", manifest.as_json(said, **about))]
    return zip_pieces.end(begin, entries, [*files, *source.files()], about["made_at"])


def _next(export: Export, source: MailSource | ListSource, now: datetime) -> Piece:
    if not isinstance(source, ListSource):
        return next_piece(source, export.form, export.after, export.size, waits=_others_try(export, now))
    found = list_pages.next_piece(source, export.after, export.size)
    if found is None:
        return Piece(is_last=True)
    return Piece(found.content, accounts=found.accounts, mails=found.rows, after=found.after)


def run(
    export: Export,
    source: MailSource | ListSource,
    *,
    seconds: float = SLICE_SECONDS,
    now: Callable[[], datetime] = timezone.now,
) -> None:
    """Go on with the export for so many seconds, at least by one piece."""
    ends = time.monotonic() + seconds
    # The rows of a list are not counted before: that would take as long as the file itself.
    if not isinstance(source, ListSource) and export.total is None and not _counted(export, source, now()):
        return
    while True:
        piece = _next(export, source, now())
        if piece.is_last:
            _finish(export, source, now())
            return
        if piece.is_cut and not piece.mails:
            note_wait(export, OUT_OF_REACH)
            return
        if not _store_piece(export, piece, now()):
            return
        export.refresh_from_db()
        if time.monotonic() > ends:
            return


def _counted(export: Export, source: MailSource, now: datetime) -> bool:
    total = source.count()
    if total > MOST:
        fail(export, TOO_MANY, now)
        return False
    export.total = total
    return Export.objects.unfinished().filter(pk=export.pk).update(total=total, moved_at=now) == 1


def _others_try(export: Export, now: datetime) -> bool:
    """Whether other hosts still get a chance to read bytes that this one cannot: the sweep queues a stalled export
    again, on any host. After OTHERS_TRY_FOR without a piece such mail counts as missing."""
    return export.moved_at > now - OTHERS_TRY_FOR


def _store_piece(export: Export, piece: Piece, now: datetime) -> bool:
    """Store the piece and its row; False when the disk has no room or another worker has moved the export on."""
    digest = _stored(export, piece.content)
    if digest is None:
        return False
    values = {"size": F("size") + len(piece.content), "done": F("done") + piece.mails, "after": piece.after}
    values |= {"missing": F("missing") + piece.missing, "accounts": sorted(piece.accounts.union(export.accounts))}
    with transaction.atomic():
        if not _moved(export, now, **values):
            return False
        _add(export, digest, piece)
    return True


def _stored(export: Export, content: bytes) -> str | None:
    """Store the bytes and return their digest ("" for none); None when that failed, and the export waits."""
    if not content:
        return ""
    if disk_budget.is_spent(len(content)):
        note_wait(export, NO_ROOM)
        return None
    try:
        return raw_store.save_batch([content])[0]
    except StorageError as error:
        note_wait(export, str(error))
        return None


def _add(export: Export, digest: str, piece: Piece) -> None:
    if digest:
        raw_store.reference([digest], timezone.now())
    said: dict[str, Any] = {"lines": piece.lines, "entries": piece.entries, "length": len(piece.content)}
    ExportPart.objects.create(export=export, position=export.parts, raw_digest=digest, **said)


def _moved(export: Export, now: datetime, **values: Any) -> bool:
    here = Export.objects.unfinished().filter(pk=export.pk, parts=export.parts)
    return here.update(parts=F("parts") + 1, moved_at=now, error="", **values) == 1


def _finish(export: Export, source: MailSource | ListSource, now: datetime) -> None:
    content = b""
    if not isinstance(source, ListSource):
        about = {"query": export.query, "made_at": now, "mails": export.done, "missing": export.missing}
        lines, entries = lines_of(export), (entry for part in _parts(export, "entries") for entry in part)
        content = last_piece(source, export.form, export.size, lines, entries, **about)
    digest = _stored(export, content)
    if digest is None:
        return
    ended = {"finished_at": now, "ends_at": now + KEPT, "size": F("size") + len(content), "total": export.done}
    with transaction.atomic():
        if _moved(export, now, **ended):
            _add(export, digest, Piece(content))


def _parts(export: Export, column: str) -> Iterator[list[Any]]:
    """In order, 20 at a time. Not by a cursor: where a pooler stands before PostgreSQL it would read all at once."""
    rows = ExportPart.objects.filter(export=export).order_by("position").values_list("position", column)
    after = -1
    while found := list(rows.filter(position__gt=after)[:20]):
        after = found[-1][0]
        yield from (value for _, value in found)


def lines_of(export: Export) -> Iterator[manifest.Line]:
    """The lines of the export's manifest, in order."""
    return (line for lines in _parts(export, "lines") for line in lines)


def note_wait(export: Export, why: str) -> None:
    """Store why the export cannot go on now; a sweep queues it again."""
    Export.objects.unfinished().filter(pk=export.pk).update(error=why)


def fail(export: Export, why: str, now: datetime) -> None:
    """End the export without a file, and store why."""
    Export.objects.unfinished().filter(pk=export.pk).update(
        error=why, finished_at=now, ends_at=now + KEPT, moved_at=now
    )


def stalled(what: str, now: datetime) -> list[int]:
    """The pks of unfinished exports of this kind that nobody has written to for STALLED."""
    rows = Export.objects.unfinished().filter(is_stale("moved_at", STALLED, now), what=what)
    return list(rows.values_list("pk", flat=True))


def remove_over(now: datetime) -> int:
    """Delete expired exports and return how many rows; the raw store's sweep removes their bytes."""
    return Export.objects.over(now).delete()[0]
