"""Raw messages by SHA-256: a segment file a batch, made durable with one fsync, and an index row a message.

The order is what keeps the promise "a committed row never lacks its bytes": bytes to disk, fsync, index rows, and only
then may a caller commit rows that refer to them, in a transaction that calls keep(). What nobody refers to is swept
after a day; keep() sees to it that a process that slept for so long in between does not commit.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from django.apps import apps
from django.core.files.storage import Storage, storages
from django.db import connection, transaction
from django.db.models import DateTimeField, QuerySet, Value
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from mailbox.db import bulk_insert
from mailbox.errors import StorageError
from mailbox.models import RawMessage
from mailbox.storage.backend import DurableFileSystemStorage, Segment

GRACE = timedelta(hours=24)
# A field of any model by one of these names refers to a raw message; the sweep asks them all.
REFERENCE_FIELDS = ("raw_digest", "mime_digest")
_WHERE = 'SELECT "segment", "offset", "length" FROM "raw_messages" WHERE "digest" = %s'
MAPPED_FROM = 16 * 1024 * 1024  # bytes; messages of this size come in pieces, and have a segment to themselves
_CHUNK = 500  # digests in one IN (...): below every database's limit of parameters


class RawMissing(Exception):
    """The raw store does not have these bytes: a file was removed, damaged or not restored with the database."""


class RawSwept(StorageError):
    """What was stored has been removed before the rows that refer to it were committed: store it again."""

    def __init__(self) -> None:
        super().__init__("The raw messages were swept before their rows were written; they are stored again.")


class RawOutOfReach(RawMissing):
    """Its file is not to be had here and now; another machine, or this one later, may well have it."""

    def __init__(self, segment: str, error: OSError) -> None:
        super().__init__(f"The file {segment} of the raw store cannot be read: {error}")
        self.segment = segment


@dataclass(frozen=True)
class StoredRaw:
    """Where one message lies: bytes `offset` to `offset + length` of `segment`."""

    digest: str
    segment: str
    offset: int
    length: int


def raw_storage() -> Storage:
    return storages["raw"]


def digest_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def save_batch(
    raws: Sequence[bytes],
    *,
    digests: Sequence[str] | None = None,
    now: datetime | None = None,
    prove: bool = False,
) -> list[str]:
    """Make the bytes durable and return their digests (SHA-256, hex) in the same order.

    `digests`: these, where the caller knows them. `prove`: what is stored already is read, and stored anew when it is
    damaged; else it must only be long enough. Raises StorageError when the disk refuses.
    """
    now = now or timezone.now()
    digests = [digest_of(raw) for raw in raws] if digests is None else list(digests)
    known = _renew(set(digests), now, prove)
    missing = {digest: raw for digest, raw in zip(digests, raws, strict=True) if digest not in known}
    if missing:
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


def keep(digests: Iterable[str], now: datetime) -> None:
    """Renew what was stored, in the transaction that commits rows that refer to it; raises RawSwept.

    A process may sleep for longer than the sweep's grace between save_batch() and its commit, or its clock may jump:
    then the sweep has removed the bytes. A row that is renewed here is locked, and the sweep leaves it. The database's
    clock counts as well: a worker whose own clock is behind would renew nothing.
    """
    wanted = sorted(set(digests))
    renewed = Greatest(Now(), Value(now, output_field=DateTimeField()))
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        if RawMessage.objects.filter(digest__in=chunk).update(stored_at=renewed) != len(chunk):
            raise RawSwept


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


def _write_segment(missing: dict[str, bytes], now: datetime) -> list[StoredRaw]:
    name = f"{now:%Y/%m/%d}/{now:%H%M%S}-{secrets.token_hex(8)}.seg"
    try:
        saved = raw_storage().save(name, Segment(missing.values()))
    except OSError as error:
        raise StorageError(f"The raw messages could not be written to disk: {error.strerror or error}") from error
    stored, offset = [], 0
    for digest, raw in missing.items():
        stored.append(StoredRaw(digest, saved, offset, len(raw)))
        offset += len(raw)
    return stored


def _index(stored: list[StoredRaw], now: datetime, prove: bool) -> None:
    """Two workers may store one digest at once: the row that is there wins, unless its bytes are lost."""
    rows = []
    for raw in stored:
        row = bulk_insert.blank(RawMessage)
        vars(row).update(vars(raw), stored_at=now)
        rows.append(row)
    with transaction.atomic():
        if bulk_insert.insert_missing(rows) == len(rows):
            return
    by_digest = {raw.digest: raw for raw in stored}
    lengths: dict[str, int | None] = {}
    for theirs in _stored(RawMessage.objects.filter(digest__in=by_digest).exclude(segment=stored[0].segment)):
        if not _is_sound(theirs, lengths, prove):
            ours = by_digest[theirs.digest]
            RawMessage.objects.filter(digest=theirs.digest, segment=theirs.segment).update(
                segment=ours.segment, offset=ours.offset, length=ours.length, stored_at=now
            )


def open_raw(digest: str) -> bytes:
    """Return the bytes with this SHA-256; raises RawMissing."""
    return _opened(digest, *_where(digest))


def _opened(digest: str, segment: str, offset: int, length: int) -> bytes:
    try:
        raw = _read(raw_storage(), segment, offset, length)
    except OSError as error:
        raise RawOutOfReach(segment, error) from error
    return _proven(raw, digest, segment, offset)


def is_sound(digest: str) -> bool:
    """Whether the bytes are here and undamaged; reads all of them."""
    try:
        map_raw(digest)
    except RawMissing:
        return False
    return True


def map_raw(digest: str) -> tuple[bytes, str]:
    """As open_raw(), for whoever looks at a message piece by piece: a large one is mapped, so that no process holds it.

    With the path of its file, which another process may map likewise; "" when the bytes are in memory.
    """
    segment, offset, length = _where(digest)
    storage = raw_storage()
    if length < MAPPED_FROM or offset or not isinstance(storage, DurableFileSystemStorage):
        return _opened(digest, segment, offset, length), ""
    path = storage.path(segment)
    try:
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_size != length:
                return _opened(digest, segment, offset, length), ""
            mapped = cast(bytes, mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ))
    except OSError as error:
        raise RawOutOfReach(segment, error) from error
    return _proven(mapped, digest, segment, offset), path


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


def _read(storage: Storage, segment: str, offset: int, length: int) -> bytes:
    if isinstance(storage, DurableFileSystemStorage):
        return storage.read_part(segment, offset, length)
    with storage.open(segment, "rb") as file:
        file.seek(offset)
        return bytes(file.read(length))


def sweep(now: datetime) -> int:
    """Remove what no row refers to and nobody stored again for 24 h; return how many messages went.

    A segment file goes once none of its messages is left.
    """
    cutoff = now - GRACE
    removed, after = 0, ""
    while True:
        old = RawMessage.objects.filter(stored_at__lt=cutoff, digest__gt=after).order_by("digest")
        digests = list(old.values_list("digest", flat=True)[:_CHUNK])
        if not digests:
            break
        after = digests[-1]
        unreferenced = set(digests) - _referenced(digests)
        # The condition again, at the DELETE: a batch that stores one of them at this instant has renewed it.
        removed += RawMessage.objects.filter(digest__in=unreferenced, stored_at__lt=cutoff).delete()[0]
    _remove_empty_segments(cutoff)
    return removed


def _referenced(digests: Sequence[str]) -> set[str]:
    left = set(digests)
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if field.name in REFERENCE_FIELDS and left:
                rows = model._base_manager.filter(**{f"{field.name}__in": left})
                left -= set(rows.values_list(field.name, flat=True))
    return set(digests) - left


def _remove_empty_segments(cutoff: datetime) -> None:
    storage = raw_storage()
    for name in _walk(storage, ""):
        young = storage.get_modified_time(name) >= cutoff
        if not young and not RawMessage.objects.filter(segment=name).exists():
            storage.delete(name)


def _walk(storage: Storage, folder: str) -> Iterator[str]:
    try:
        folders, files = storage.listdir(folder)
    except FileNotFoundError:
        return
    yield from (f"{folder}{name}" for name in files)
    for name in folders:
        yield from _walk(storage, f"{folder}{name}/")
