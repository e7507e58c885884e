"""Large messages while they are fetched: one file each, which grows piece by piece and survives its worker.

The file is on this host's own disk. If another host continues with the message, it begins from the start.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from mailbox.errors import StorageError
from mailbox.storage import disk_budget

KEPT_SECONDS = 7 * 86_400  # after the last piece
_NAME = re.compile(r"\d+-\d+-\d+(-\d+-[\dTZ]+(\.first)?)?")


@dataclass(frozen=True)
class PartialFile:
    """The file for one message. Two workers that write it at once write the same bytes at the same offsets."""

    path: Path

    @classmethod
    def of(cls, folder_pk: int, uidvalidity: int, uid: int, size: int, date: datetime | None) -> PartialFile:
        """size, date: RFC822.SIZE and INTERNALDATE. They are in the file's name as a restored server may give the UID
        to another message, whose bytes must not be appended to these."""
        stated = f"{date.astimezone(UTC):%Y%m%dT%H%M%SZ}" if date is not None else "0"
        return cls(_folder() / f"{folder_pk}-{uidvalidity}-{uid}-{size}-{stated}")

    def length(self) -> int:
        """How many bytes are there, from the message's start; 0 without a file."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def put(self, offset: int, piece: bytes) -> None:
        """Write a piece and sync it to disk, so that a power cut may shorten the file but not corrupt it.

        Raises StorageError, also when the file is shorter than `offset`.
        """
        disk_budget.demand(len(piece))
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # If another worker has finished the message and removed the file, a new one would have zeros before the
            # piece, so only the first piece may create it.
            descriptor = os.open(self.path, os.O_WRONLY | (0 if offset else os.O_CREAT), 0o600)
            try:
                if os.fstat(descriptor).st_size < offset:
                    raise StorageError("Another worker began this large message anew; the next run goes on with it.")
                left = memoryview(piece)
                while left:
                    written = os.pwrite(descriptor, left, offset)
                    left, offset = left[written:], offset + written
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(f"A large message could not be written to disk: {error.strerror or error}") from error

    def mapped(self) -> mmap.mmap | bytes:
        """The bytes so far, memory-mapped."""
        if not self.length():
            return b""
        with self.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def digest(self) -> str:
        """SHA-256 of the bytes so far, in hex."""
        if not self.length():
            return hashlib.sha256().hexdigest()
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def first_try(self) -> PartialFile:
        """The file that begin_anew() put aside."""
        return PartialFile(self.path.with_name(f"{self.path.name}.first"))

    def begin_anew(self) -> None:
        """Put the file aside, to fetch the message from its start. It replaces a file put aside before."""
        if not self.path.exists():
            self.put(0, b"")
        self.path.replace(self.first_try().path)

    def was_begun_anew(self) -> bool:
        """Whether the message is being fetched a second time, as its first bytes were not as long as stated."""
        return self.first_try().path.exists()

    def remove(self) -> None:
        """Delete the file, and the one that was put aside."""
        self.path.unlink(missing_ok=True)
        self.path.with_name(f"{self.path.name}.first").unlink(missing_ok=True)


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "partial"


def sweep(now: float | None = None) -> int:
    """Remove files without a new piece for KEPT_SECONDS. Returns how many. now: seconds since the epoch."""
    cutoff = (time.time() if now is None else now) - KEPT_SECONDS
    removed = 0
    for path in _folder().glob("*"):
        if _NAME.fullmatch(path.name) and path.stat().st_mtime < cutoff:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
