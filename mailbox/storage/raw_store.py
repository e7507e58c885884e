"""Raw messages by SHA-256: a segment file a batch, made durable with one fsync, and an index row a message.

The order is what keeps the promise "a committed row never lacks its bytes": bytes to disk, fsync, index rows, and only
then may a caller commit rows that refer to them, in a transaction that calls reference(). What nobody refers to is
swept after a day; reference() sees to it that a process that slept for so long in between does not commit.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from django.core.files.storage import Storage
from django.db import connection, transaction
from django.db.models import DateTimeField, QuerySet, Value
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from mailbox.db import bulk_insert
from mailbox.errors import StorageError
from mailbox.models import RawMessage
from mailbox.storage import local_copies
from mailbox.storage.durable_files import MAPPED_FROM, DurableFileSystemStorage, Segment, raw_storage, read_part
from mailbox.storage.faults import RawMissing, RawOutOfReach, RawSwept

__all__ = ["RawMissing", "RawOutOfReach", "RawSwept"]

_WHERE = 'SELECT "segment", "offset", "length" FROM "raw_messages" WHERE "digest" = %s'
PIECES = 8 * 1024 * 1024  # bytes that a copy of a large message is fetched by
_CHUNK = 500  # digests in one IN (...): below every database's limit of parameters


@dataclass(frozen=True)
class StoredRaw:
    """Where one message lies: bytes `offset` to `offset + length` of `segment`."""

    digest: str
    segment: str
    offset: int
    length: int


def digest_of(raw: bytes) -> str:
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

    `digests`: these, where the caller knows them. `prove`: what is stored already is read, and stored anew when it is
    damaged; else it must only be long enough. `unindexed`: is given what is new, whose index rows reference() writes,
    with the rows that refer to them. Raises StorageError when the disk refuses.
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
    """Twice, when the sweep took the new file before its index rows were there: this process slept for a day."""
    for _ in range(2):
        stored = _write_segment(missing, now)
        _index(stored, now, prove)
        if _length_of(stored[0].segment) is not None:
            return
    raise RawSwept


def reference(digests: Iterable[str], now: datetime, unindexed: Sequence[StoredRaw] = ()) -> None:
    """Renew what was stored, in the transaction that commits rows that refer to it; raises RawSwept. `unindexed`: what
    save_batch() gave; once this is committed, has_file() is to be asked.

    A process may sleep for longer than the sweep's grace between save_batch() and its commit, or its clock may jump:
    then the sweep has removed the bytes. A row that is renewed here is locked, and the sweep leaves it. The database's
    clock counts as well: a worker whose own clock is behind would renew nothing.
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
    """False when a sweep took the file, which no row spoke of yet, from a process that slept for a day."""
    return all(_length_of(each.segment) is not None for each in stored)


def _length_of(segment: str) -> int | None:
    """Bytes of the file; None when it is not there."""
    try:
        return int(raw_storage().size(segment))
    except OSError:
        return None


def _is_sound(raw: StoredRaw, lengths: dict[str, int | None], prove: bool) -> bool:
    """Whether the file is long enough for this message; with `prove`, whether its bytes are the message's.

    `lengths`: of the files looked at already.
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
    """Say which of the digests are stored already, whole.

    Renew first and look afterwards: a row that is renewed can no longer be swept between the two.
    """
    there = bulk_insert.known(RawMessage, "digest", digests)
    if not there:  # as nearly always; an UPDATE of nothing would still wait for its turn to write
        return set()
    rows = RawMessage.objects.filter(digest__in=there)
    rows.update(stored_at=now)
    lengths: dict[str, int | None] = {}
    return {raw.digest for raw in _stored(rows) if _is_sound(raw, lengths, prove)}


def _stored(rows: QuerySet[RawMessage]) -> list[StoredRaw]:
    return [StoredRaw(*row) for row in rows.values_list("digest", "segment", "offset", "length")]


def segment_name(now: datetime) -> str:
    """One that nobody else takes, of any host."""
    return f"{now:%Y/%m/%d}/{now:%H%M%S}-{secrets.token_hex(8)}.seg"


def _write_segment(missing: dict[str, bytes], now: datetime) -> list[StoredRaw]:
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
    """Two workers may store one digest at once: the row that is there wins, unless its bytes are lost. False then."""
    rows = []
    for raw in stored:
        row = bulk_insert.blank(RawMessage)
        vars(row).update(vars(raw), stored_at=now)
        rows.append(row)
    with transaction.atomic():
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
    """Return the bytes with this SHA-256; raises RawMissing."""
    return _opened(digest, *_where(digest))


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
    """Whether the bytes are here and undamaged; reads all of them, from the store itself."""
    try:
        prove(digest)
    except RawMissing:
        return False
    return True


def prove(digest: str) -> None:
    """As is_sound(); raises RawMissing, or RawOutOfReach."""
    local_copies.drop(digest)
    map_raw(digest)


def map_raw(digest: str) -> tuple[bytes, str]:
    """As open_raw(), for whoever looks at a message piece by piece: a large one is mapped, so that no process holds it.

    With the path of its file, which another process may map likewise; "" when the bytes are in memory.
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
    """Paths of files on this host's disk that should be the message: its segment's, or a copy's, which is made. A copy
    that turned out damaged, and was dropped, is made once more."""
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
    """Whether a copy is kept on this host's own disk, as the store is elsewhere."""
    least: int | None = getattr(storage, "copied_from", None)
    return least is not None and length >= least


def _where(digest: str) -> tuple[str, int, int]:
    with connection.cursor() as cursor:  # each mail that goes out reads here: the ORM would be most of it
        cursor.execute(_WHERE, [digest])
        row = cursor.fetchone()
    if row is None:
        raise RawMissing(f"The raw store does not know {digest}.")
    segment, offset, length = row
    return segment, offset, length


def _proven(raw: bytes, digest: str, segment: str, offset: int) -> bytes:
    if digest_of(raw) != digest:
        raise RawMissing(f"The file {segment} of the raw store is damaged at {offset}.")
    return raw
