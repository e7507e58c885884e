"""Raw messages by SHA-256: a segment file a batch, made durable with one fsync, and an index row a message.

The order is what keeps the promise "a committed row never lacks its bytes": bytes to disk, fsync, index rows, and only
then may a caller commit rows that refer to them. What nobody refers to is swept after a day.
"""

from __future__ import annotations

import contextlib
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
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.db import connection, transaction
from django.utils import timezone

from mailbox.db import bulk_insert
from mailbox.errors import StorageError
from mailbox.models import RawMessage

GRACE = timedelta(hours=24)
# A field of any model by one of these names refers to a raw message; the sweep asks them all.
REFERENCE_FIELDS = ("raw_digest", "mime_digest")
_WHERE = 'SELECT "segment", "offset", "length" FROM "raw_messages" WHERE "digest" = %s'
_PIECE = 1024 * 1024
MAPPED_FROM = 16 * 1024 * 1024  # bytes; messages of this size come in pieces, and have a segment to themselves
_CHUNK = 500  # digests in one IN (...): below every database's limit of parameters


class RawMissing(Exception):
    """The raw store does not have these bytes: a file was removed, damaged or not restored with the database."""


class RawOutOfReach(RawMissing):
    """Its file is not to be had here and now; another machine, or this one later, may well have it."""


_lasting: set[Path] = set()  # folders whose names this process has seen to disk


class DurableFileSystemStorage(FileSystemStorage):
    """A folder whose files are on disk, not in a cache, when save() returns, and which only we may read."""

    def __init__(self, location: str | Path | None = None) -> None:
        super().__init__(location=location, file_permissions_mode=0o600, directory_permissions_mode=0o700)

    def read_part(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a file whose name we gave ourselves; raises OSError."""
        descriptor = os.open(os.path.join(self.location, name), os.O_RDONLY)  # noqa: PTH118 - a tenth of Path's time
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def _save(self, name: str, content: File[bytes]) -> str:
        try:
            saved: str = super()._save(name, content)  # type: ignore[misc]
            path = Path(self.path(saved))
            _sync(path)
        except OSError:
            with contextlib.suppress(OSError):  # half a file would keep a full disk full; names are never used twice
                Path(self.path(name)).unlink()
            raise
        # A new file is found after a power cut only when its folder, and each new folder above, is on disk too.
        _sync(path.parent)
        for folder in (path.parent, *path.parent.parents):
            if folder == Path(self.location) or folder in _lasting:
                break
            _sync(folder.parent)
            _lasting.add(folder)
        return saved


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Segment(File):  # type: ignore[type-arg]  # not generic when it runs
    """The batch as the storage reads it: message after message, never joined in memory."""

    def __init__(self, raws: Iterable[bytes]) -> None:
        super().__init__(None, name="segment")
        self._raws = raws

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        for raw in self._raws:
            if len(raw) <= _PIECE and isinstance(raw, bytes):
                yield raw
            else:  # a large one may be a mapped file, of which a slice is bytes
                yield from (raw[start : start + _PIECE] for start in range(0, len(raw), _PIECE))


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
    raws: Sequence[bytes], *, digests: Sequence[str] | None = None, now: datetime | None = None
) -> list[str]:
    """Make the bytes durable and return their digests (SHA-256, hex) in the same order.

    `digests`: these, where the caller knows them. Raises StorageError when the disk refuses.
    """
    now = now or timezone.now()
    digests = [digest_of(raw) for raw in raws] if digests is None else list(digests)
    known = _renew(set(digests), now)
    missing = {digest: raw for digest, raw in zip(digests, raws, strict=True) if digest not in known}
    if missing:
        _index(_write_segment(missing, now), now)
    return digests


def _renew(digests: set[str], now: datetime) -> set[str]:
    """Say which of the digests are stored already.

    Renew first and look afterwards: a row that is renewed can no longer be swept between the two.
    """
    there = bulk_insert.known(RawMessage, "digest", digests)
    if not there:  # as nearly always; an UPDATE of nothing would still wait for its turn to write
        return set()
    rows = RawMessage.objects.filter(digest__in=there)
    rows.update(stored_at=now)
    storage, segments_there, known = raw_storage(), {}, set()
    for digest, segment in rows.values_list("digest", "segment"):
        if segment not in segments_there:
            segments_there[segment] = storage.exists(segment)
        if segments_there[segment]:
            known.add(digest)
    return known


def _write_segment(missing: dict[str, bytes], now: datetime) -> list[StoredRaw]:
    name = f"{now:%Y/%m/%d}/{now:%H%M%S}-{secrets.token_hex(8)}.seg"
    try:
        saved = raw_storage().save(name, _Segment(missing.values()))
    except OSError as error:
        raise StorageError(f"The raw messages could not be written to disk: {error.strerror or error}") from error
    stored, offset = [], 0
    for digest, raw in missing.items():
        stored.append(StoredRaw(digest, saved, offset, len(raw)))
        offset += len(raw)
    return stored


def _index(stored: list[StoredRaw], now: datetime) -> None:
    """Two workers may store one digest at once: the row that is there wins, unless its file is lost."""
    rows = []
    for raw in stored:
        row = bulk_insert.blank(RawMessage)
        vars(row).update(vars(raw), stored_at=now)
        rows.append(row)
    with transaction.atomic():
        if bulk_insert.insert_missing(rows) == len(rows):
            return
    by_digest = {raw.digest: raw for raw in stored}
    storage = raw_storage()
    segments = RawMessage.objects.filter(digest__in=by_digest).exclude(segment=stored[0].segment)
    for digest, segment in segments.values_list("digest", "segment"):
        if not storage.exists(segment):
            ours = by_digest[digest]
            RawMessage.objects.filter(digest=digest, segment=segment).update(
                segment=ours.segment, offset=ours.offset, length=ours.length, stored_at=now
            )


def open_raw(digest: str) -> bytes:
    """Return the bytes with this SHA-256; raises RawMissing."""
    return _opened(digest, *_where(digest))


def _opened(digest: str, segment: str, offset: int, length: int) -> bytes:
    try:
        raw = _read(raw_storage(), segment, offset, length)
    except OSError as error:
        raise RawOutOfReach(f"The file {segment} of the raw store cannot be read: {error}") from error
    return _proven(raw, digest, segment, offset)


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
        raise RawOutOfReach(f"The file {segment} of the raw store cannot be read: {error}") from error
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
