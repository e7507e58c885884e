"""Where the raw store keeps its files: Django's folder storage, made durable.

Another backend (PRX_EMAIL_RAW_STORAGE) must be durable when save() returns, too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

PIECE = 1024 * 1024
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
