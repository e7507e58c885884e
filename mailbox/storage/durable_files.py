"""Where the raw store keeps its segments: Django's folder storage, made durable.

Another backend (PRX_EMAIL_RAW_STORAGE) must be durable when save() returns, too. Several hosts may write to one folder:
a segment is written once, by one of them, under a name that nobody else takes, and never changed.
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
# bytes; messages of this size come in pieces, and have a segment to themselves
MAPPED_FROM = 16 * 1024 * 1024
_lasting: set[Path] = set()  # folders whose names this process has seen to disk


def raw_storage() -> Storage:
    return storages["raw"]


def read_part(storage: Storage, name: str, offset: int, length: int) -> bytes:
    """Bytes of a file of any storage; raises OSError."""
    in_one_step: Callable[[str, int, int], bytes] | None = getattr(storage, "read_part", None)
    if in_one_step is not None:  # without a file object
        return in_one_step(name, offset, length)
    with storage.open(name, "rb") as file:
        file.seek(offset)
        return bytes(file.read(length))


class DurableFileSystemStorage(FileSystemStorage):
    """A folder whose files are on disk, not in a cache, when save() returns, and which only we may read.

    `shared`: other hosts write there as well, by way of a file server. Nothing is locked, as such a folder may not know
    how, and nothing is mapped, since a page of a file that another host has removed kills the process that reads it.
    """

    def __init__(self, location: str | Path | None = None, *, shared: bool = False) -> None:
        super().__init__(location=location, file_permissions_mode=0o600, directory_permissions_mode=0o700)
        self.is_mapped = not shared
        # Messages from this size on are copied to this host's own disk, to be mapped there; None: none are.
        self.copied_from = MAPPED_FROM if shared else None

    def read_part(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a file whose name we gave ourselves; raises OSError."""
        descriptor = os.open(os.path.join(self.location, name), os.O_RDONLY)  # noqa: PTH118 - a tenth of Path's time
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def _save(self, name: str, content: File[bytes]) -> str:
        path = Path(self.path(name))
        _make_folder(path.parent)
        # Not Django's: that locks the file, and writes it without making it durable.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                for chunk in content.chunks():
                    _write_all(file.fileno(), chunk)
                os.fsync(file.fileno())  # a file server tells of a full disk here, or at close
        except OSError:
            with contextlib.suppress(OSError):  # half a file would keep a full disk full; names are never used twice
                path.unlink()
            raise
        # A new file is found after a power cut only when its folder, and each new folder above, is on disk too.
        _sync_folder(path.parent)
        for folder in (path.parent, *path.parent.parents):
            if folder == Path(self.location) or folder in _lasting:
                break
            _sync_folder(folder.parent)
            _lasting.add(folder)
        return name


def _make_folder(folder: Path) -> None:
    """Each that is missing, with mode 700; another host may make it at this instant."""
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
        # CIFS and some FUSE file systems know no fsync of a folder: their names last as soon as they are made.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


class Segment(File):  # type: ignore[type-arg]  # not generic when it runs
    """The batch as the storage reads it: message after message, never joined in memory."""

    def __init__(self, raws: Iterable[bytes]) -> None:
        super().__init__(None, name="segment")
        self._raws = raws

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        for raw in self._raws:
            if len(raw) <= PIECE and isinstance(raw, bytes):
                yield raw
            else:  # a large one may be a mapped file, of which a slice is bytes
                yield from (raw[start : start + PIECE] for start in range(0, len(raw), PIECE))
