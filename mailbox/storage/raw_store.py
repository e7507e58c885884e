"""Stores raw messages by SHA-256: one segment file per batch, made durable by one fsync, and one index row per message.

A committed row never lacks its bytes. This follows from the order: bytes to disk, fsync, index rows, and then the
caller's rows, in a transaction that calls reference(). Messages without a referring row are swept after a day;
reference() fails if a process was suspended for that long in between.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import cast

from django.core.files.storage import Storage
from django.db.models import DateTimeField, QuerySet, Value
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from mailbox.db import bulk_insert, statements
from mailbox.errors import StorageError
from mailbox.models import RawMessage
from mailbox.storage import installations, local_copies
from mailbox.storage.durable_files import MAPPED_FROM, DurableFileSystemStorage, Segment, raw_storage, read_part
from mailbox.storage.faults import RawMissing, RawOutOfReach, RawSwept

__all__ = ["RawMissing", "RawOutOfReach", "RawSwept"]

_WHERE = 'SELECT "segment", "offset", "length" FROM "raw_messages" WHERE "digest" = %s'
PIECES = 8 * 1024 * 1024  # bytes per read when a large message is copied to this host
_CHUNK = 500  # digests in one IN (...), below every database's limit of parameters


@dataclass(frozen=True)
class StoredRaw:
    """The location of one message: bytes `offset` to `offset + length` of `segment`."""

    digest: str
    segment: str
    offset: int
    length: int


def digest_of(raw: bytes) -> str:
    """The SHA-256 of the bytes in hexadecimal: 64 characters."""
    return hashlib.sha256(raw).hexdigest()


def save_batch(
    raws: Sequence[bytes],
    *,
    digests: Sequence[str] | None = None,
    now: datetime | None = None,
    prove: bool = False,
    unindexed: list[StoredRaw] | None = None,
) -> list[str]:
    """Make the bytes durable and return their digests (SHA-256, hex) in the same order.

    digests: those of `raws`, if the caller knows them.
    prove: read messages that are stored already, and store them again if damaged. Otherwise only the file's length is
        checked.
    unindexed: a list to which new messages are appended instead of writing their index rows. The caller passes it to
        reference(), which writes the index rows in the caller's transaction.

    Raises StorageError when the disk refuses.
    """
    now = now or timezone.now()
    digests = [digest_of(raw) for raw in raws] if digests is None else list(digests)
    known = _renew(set(digests), now, prove)
    missing = {digest: raw for digest, raw in zip(digests, raws, strict=True) if digest not in known}
    if missing and unindexed is not None:
        unindexed += _write_segment(missing, now)
    elif missing:
        _write(missing, now, prove)
    return digests


def _write(missing: dict[str, bytes], now: datetime, prove: bool) -> None:
    """Write segment and index rows. Raises RawSwept if the sweep removes the new file before its index rows exist.

    That happens only to a process that is suspended for a day, so it is tried twice.
    """
    for _ in range(2):
        stored = _write_segment(missing, now)
        _index(stored, now, prove)
        if _length_of(stored[0].segment) is not None:
            return
    raise RawSwept


def reference(digests: Iterable[str], now: datetime, unindexed: Sequence[StoredRaw] = ()) -> None:
    """Protect stored messages from the sweep, in the transaction that commits rows that refer to them.

    unindexed: the list from save_batch(), whose index rows are written here. After the commit the caller must check
    has_file() for it.

    Raises RawSwept if the sweep has removed them. A process may be suspended for longer than the sweep's grace between
    save_batch() and its commit, or its clock may jump. Renewing `stored_at` locks the index rows, and the sweep skips
    renewed rows. The database's clock is used if it is later, as a worker whose clock is behind would renew nothing.
    """
    wanted = sorted(set(digests))
    if not has_file(unindexed):
        raise RawSwept
    if unindexed and _index(list(unindexed), now, prove=True):
        wanted = sorted(set(digests) - {each.digest for each in unindexed})
    renewed = Greatest(Now(), Value(now, output_field=DateTimeField()))
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        if RawMessage.objects.filter(digest__in=chunk).update(stored_at=renewed) != len(chunk):
            raise RawSwept


def has_file(stored: Iterable[StoredRaw]) -> bool:
    """Whether all files still exist. The sweep removes a file without index rows after a day, so it may be gone if this
    process was suspended for that long."""
    return all(_length_of(each.segment) is not None for each in stored)


def _length_of(segment: str) -> int | None:
    """Length of the file in bytes; None if it cannot be found."""
    try:
        return int(raw_storage().size(segment))
    except OSError:
        return None


def _is_sound(raw: StoredRaw, lengths: dict[str, int | None], prove: bool) -> bool:
    """Whether the file is long enough for this message; with `prove`, whether its bytes have the digest.

    lengths: a cache of file lengths by segment.
    """
    if raw.segment not in lengths:
        lengths[raw.segment] = _length_of(raw.segment)
    length = lengths[raw.segment]
    if length is None or length < raw.offset + raw.length:
        return False
    if not prove:
        return True
    local_copies.drop(raw.digest)
    try:
        _opened(raw.digest, raw.segment, raw.offset, raw.length)
    except RawMissing:
        return False
    return True


def _renew(digests: set[str], now: datetime, prove: bool) -> set[str]:
    """The digests that are stored already and intact.

    The rows are renewed before the files are checked, so that they cannot be swept in between.
    """
    there = bulk_insert.known(RawMessage, "digest", digests)
    if not there:  # the usual case; an UPDATE without rows would still wait for the write lock
        return set()
    rows = RawMessage.objects.filter(digest__in=there)
    rows.update(stored_at=now)
    lengths: dict[str, int | None] = {}
    return {raw.digest for raw in _stored(rows) if _is_sound(raw, lengths, prove)}


def _stored(rows: QuerySet[RawMessage]) -> list[StoredRaw]:
    return [StoredRaw(*row) for row in rows.values_list("digest", "segment", "offset", "length")]


def segment_name(now: datetime) -> str:
    """A name that is unique among all hosts."""
    return f"{now:%Y/%m/%d}/{now:%H%M%S}-{secrets.token_hex(8)}.seg"


def _write_segment(missing: dict[str, bytes], now: datetime) -> list[StoredRaw]:
    installations.note_in_time()
    try:
        saved = raw_storage().save(segment_name(now), Segment(missing.values()))
    except OSError as error:
        raise StorageError(f"The raw messages could not be written: {error.strerror or error}") from error
    stored, offset = [], 0
    for digest, raw in missing.items():
        stored.append(StoredRaw(digest, saved, offset, len(raw)))
        offset += len(raw)
    return stored


def _index(stored: list[StoredRaw], now: datetime, prove: bool) -> bool:
    """Insert index rows. Returns False if another worker has stored one of the digests at the same time.

    Then the existing row is kept, unless its bytes are lost: it is changed to the new segment.
    """
    rows = []
    for raw in stored:
        row = bulk_insert.blank(RawMessage)
        vars(row).update(vars(raw), stored_at=now)
        rows.append(row)
    with statements.in_transaction():
        if bulk_insert.insert_missing(rows) == len(rows):
            return True
    by_digest = {raw.digest: raw for raw in stored}
    lengths: dict[str, int | None] = {}
    for theirs in _stored(RawMessage.objects.filter(digest__in=by_digest).exclude(segment=stored[0].segment)):
        if not _is_sound(theirs, lengths, prove):
            ours = by_digest[theirs.digest]
            RawMessage.objects.filter(digest=theirs.digest, segment=theirs.segment).update(
                segment=ours.segment, offset=ours.offset, length=ours.length, stored_at=now
            )
    return False


def open_raw(digest: str) -> bytes:
    """Return the bytes with this SHA-256. Raises RawMissing."""
    return _opened(digest, *_where(digest))


def reader_of(digest: str) -> Callable[[], bytes]:
    """Look up where the bytes are; return a call that reads them without the database. Both raise RawMissing."""
    return partial(_opened, digest, *_where(digest))


def is_local() -> bool:
    """Whether the raw store is on this host's own disk, so that reading it waits for no other machine."""
    return getattr(raw_storage(), "copied_from", None) is None


def _opened(digest: str, segment: str, offset: int, length: int) -> bytes:
    storage = raw_storage()
    is_copied = _is_copied(storage, length)
    if is_copied and (copy := local_copies.read(digest)) is not None:
        return copy
    try:
        raw = _proven(read_part(storage, segment, offset, length), digest, segment, offset)
    except OSError as error:
        raise RawOutOfReach(segment, error) from error
    if is_copied:
        local_copies.put(digest, raw)
    return raw


def is_sound(digest: str) -> bool:
    """Whether the store has these bytes undamaged. Reads all of them from the store itself, not from a copy."""
    try:
        prove(digest)
    except RawMissing:
        return False
    return True


def prove(digest: str) -> None:
    """Like is_sound(), but raises RawMissing or RawOutOfReach instead of returning False."""
    local_copies.drop(digest)
    map_raw(digest)


def map_raw(digest: str) -> tuple[bytes, str]:
    """Like open_raw(), but a large message is memory-mapped, so that it is never whole in a process's memory.

    Also returns the path of the mapped file, which another process may map, too; "" if the bytes are in memory.
    """
    segment, offset, length = _where(digest)
    storage = raw_storage()
    if length >= MAPPED_FROM:
        try:
            for path in _mappable(storage, digest, segment, offset, length):
                if (mapped := _map(path, length)) is not None and digest_of(mapped) == digest:
                    return mapped, path
                local_copies.drop(digest)
        except OSError as error:
            raise RawOutOfReach(segment, error) from error
    return _opened(digest, segment, offset, length), ""


def _mappable(storage: Storage, digest: str, segment: str, offset: int, length: int) -> Iterator[str]:
    """Paths of local files that should contain this message alone: its segment, or a copy, which is made if needed.

    If the caller drops a damaged copy and continues, the copy is made once more.
    """
    if isinstance(storage, DurableFileSystemStorage) and storage.is_mapped:
        if not offset:
            yield storage.path(segment)
    elif _is_copied(storage, length):
        starts = range(offset, offset + length, PIECES)
        for _ in range(2):
            pieces = (read_part(storage, segment, start, min(PIECES, offset + length - start)) for start in starts)
            if (path := local_copies.store(digest, length, pieces)) is None:
                return
            yield str(path)


def _map(path: str, length: int) -> bytes | None:
    with Path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size != length:
            return None
        return cast(bytes, mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ))


def _is_copied(storage: Storage, length: int) -> bool:
    """Whether a message of this length is kept in local_copies, as the store is not on this host."""
    least: int | None = getattr(storage, "copied_from", None)
    return least is not None and length >= least


def _where(digest: str) -> tuple[str, int, int]:
    for segment, offset, length in statements.rows(_WHERE, [digest]):
        return segment, offset, length
    raise RawMissing(f"The raw store does not know {digest}.")


def _proven(raw: bytes, digest: str, segment: str, offset: int) -> bytes:
    if digest_of(raw) != digest:
        raise RawMissing(f"The file {segment} of the raw store is damaged at {offset}.")
    return raw
