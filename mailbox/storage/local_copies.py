"""A cache on this host's disk, by digest, of messages in a raw store elsewhere (a shared folder, S3).

A message that is read again is not fetched again, and a large one can be mapped. Each copy is checked by its digest
when it is read. Copies above PRX_EMAIL_RAW_CACHE_MB are removed, least recently used first, and each copy a day after
its last use, so that mail deleted from the store soon disappears here, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from mailbox.storage import disk_budget

KEPT_SECONDS = 86_400
_written = 0  # bytes that this process has written since its last sweep


def folder() -> Path:
    """Where the copies lie; it may be missing."""
    return Path(settings.DATA_DIR) / "raw-copies"


def _path(digest: str) -> Path:
    return folder() / digest[:2] / digest


def read(digest: str) -> bytes | None:
    """The message, checked by its digest. None without a copy, or with a damaged one, which is removed."""
    path = _path(digest)
    try:
        raw = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    if hashlib.sha256(raw).hexdigest() == digest:
        return raw
    drop(digest)
    return None


def put(digest: str, raw: bytes) -> None:
    """Keep a copy if there is room; otherwise do nothing."""
    store(digest, len(raw), [raw])


def store(digest: str, length: int, pieces: Iterable[bytes]) -> Path | None:
    """The path of the copy, which is made of `pieces`, `length` bytes in all, unless it exists.

    None if there is no room (then no piece is read), the disk refuses, or the pieces have another digest.
    """
    path = _path(digest)
    with contextlib.suppress(OSError):
        os.utime(path)
        return path
    if length > settings.RAW_CACHE_BYTES or disk_budget.is_spent(length):
        return None
    draft = path.with_name(f"{digest}.{secrets.token_hex(4)}.draft")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = draft.open("xb")
    except OSError:
        return None
    try:
        if not _write(file.fileno(), pieces, digest):
            return None
        draft.replace(path)
    finally:
        file.close()
        draft.unlink(missing_ok=True)
    _count(length)
    return path


def _write(descriptor: int, pieces: Iterable[bytes], digest: str) -> bool:
    """Write the pieces. Returns False if the disk refuses or their digest differs. Raises the errors of `pieces`."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
        left = memoryview(piece)
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except OSError:
                return False
    return found.hexdigest() == digest


def drop(digest: str) -> None:
    """Remove the copy if there is one; raises nothing."""
    with contextlib.suppress(OSError):
        _path(digest).unlink()


def _count(length: int) -> None:
    """Count written bytes, and sweep after each sixteenth of the limit: several processes write at the same time."""
    global _written
    _written += length
    if _written > settings.RAW_CACHE_BYTES // 16:
        _written = 0
        sweep()


def sweep(now: float | None = None) -> int:
    """Remove old copies and those above the limit. Returns how many. now: seconds since the epoch."""
    now = time.time() if now is None else now
    there = sorted(_all(), reverse=True)
    kept = removed = 0
    for used_at, size, path in there:
        kept += size
        if kept > settings.RAW_CACHE_BYTES or used_at < now - KEPT_SECONDS:
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
    return removed


def _all() -> Iterable[tuple[float, int, Path]]:
    for path in folder().glob("*/*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            yield status.st_mtime, status.st_size, path
