"""The raw store's segments in a folder: Django's FileSystemStorage, with files that are durable when save() returns.

Another backend (PRX_EMAIL_RAW_STORAGE) must guarantee the same. Several hosts may write to one folder: each segment is
written once, by one host, under a unique name, and never changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage, storages

PIECE = 1024 * 1024
# Bytes. Messages of at least this size are fetched in pieces, and have a segment of their own that can be mapped.
MAPPED_FROM = 16 * 1024 * 1024
_lasting: set[Path] = set()  # folders whose directory entries this process has synced to disk


def raw_storage() -> Storage:
    """The storage of the raw store's segments: a folder, S3, or both while mail is moved (STORAGES["raw"])."""
    return storages["raw"]


def raw_stores() -> list[Storage]:
    """The raw stores: two while mail is moved to another one, first the one that is written to."""
    store = raw_storage()
    return [getattr(store, name) for name in ("present", "other")] if hasattr(store, "present") else [store]


def store_folder() -> Path | None:
    """The folder to which this host writes raw messages; None if the store is none, as S3."""
    storage = raw_storage()
    storage = getattr(storage, "present", storage)  # of TwoStores, the one that is written to
    return Path(storage.location) if isinstance(storage, DurableFileSystemStorage) else None


def read_part(storage: Storage, name: str, offset: int, length: int) -> bytes:
    """Read `length` bytes at `offset` of a file in any storage. Raises OSError."""
    in_one_step: Callable[[str, int, int], bytes] | None = getattr(storage, "read_part", None)
    if in_one_step is not None:  # the storage can read without a file object
        return in_one_step(name, offset, length)
    with storage.open(name, "rb") as file:
        file.seek(offset)
        return bytes(file.read(length))


class DurableFileSystemStorage(FileSystemStorage):
    """A folder whose files are synced to disk when save() returns, readable by this process's user alone.

    shared: other hosts write to it, too, by way of a file server. Files are not locked, as such a folder may not
    support locks, and not mapped, as reading a mapped page of a file that another host removed kills the process.
    """

    def __init__(self, location: str | Path | None = None, *, shared: bool = False) -> None:
        super().__init__(location=location, file_permissions_mode=0o600, directory_permissions_mode=0o700)
        self.is_mapped = not shared
        # Messages from this size on are copied to this host's own disk, to be mapped there; None: none are.
        self.copied_from = MAPPED_FROM if shared else None

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """The name itself: each file has a name of its own. _save() fails if it is taken."""
        return name

    def read_part(self, name: str, offset: int, length: int) -> bytes:
        """Read `length` bytes at `offset`. The name is not checked, so it must be one that we made. Raises OSError."""
        descriptor = os.open(os.path.join(self.location, name), os.O_RDONLY)  # noqa: PTH118 - a tenth of Path's time
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def _save(self, name: str, content: File[bytes]) -> str:
        path = Path(self.path(name))
        _make_folder(path.parent)
        # Django's own _save locks the file, and does not sync it to disk.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                for chunk in content.chunks():
                    _write_all(file.fileno(), chunk)
                os.fsync(file.fileno())  # a file server reports a full disk here, or at close
        except OSError:
            with contextlib.suppress(OSError):  # part of a file would keep a full disk full
                path.unlink()
            raise
        # After a power cut a new file exists only if its folder, and each new folder above, was synced, too.
        folder = path.parent
        _sync_folder(folder)
        while folder not in _lasting and folder != Path(self.location):
            _sync_folder(folder.parent)
            _lasting.add(folder)
            folder = folder.parent
        return name


def _make_folder(folder: Path) -> None:
    """Make the folder and its missing parents, with mode 700. Another host may make them at the same time."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)


def _write_all(descriptor: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # CIFS and some FUSE file systems have no fsync of a folder; their entries are durable as soon as they are made.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


class Segment(File):  # type: ignore[type-arg]  # not generic when it runs
    """A batch as a file that the storage can read: message after message, never joined in memory."""

    def __init__(self, raws: Iterable[bytes]) -> None:
        super().__init__(None, name="segment")
        self._raws = raws

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Its bytes in pieces of at most PIECE; `chunk_size` is ignored."""
        for raw in self._raws:
            if len(raw) <= PIECE and isinstance(raw, bytes):
                yield raw
            else:  # may be a mapped file; a slice of that is bytes
                yield from (raw[start : start + PIECE] for start in range(0, len(raw), PIECE))
