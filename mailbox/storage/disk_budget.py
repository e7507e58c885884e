"""The last of the disk is for mail that goes out: what is fetched never takes PRX_EMAIL_DISK_RESERVE_MB.

A full disk stops the outbox as well, whose attempts must be written down before they are made. What is not fetched
stays on its server. Asked before each batch and each piece of a large message: one statvfs(2).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from mailbox.errors import StorageError
from mailbox.storage.durable_files import DurableFileSystemStorage, raw_storage


def is_spent(wanted: int = 0) -> bool:
    """Whether a disk that this host writes mail to would have less free than the reserve, with `wanted` bytes more on
    it. Unknown counts as enough."""
    if not settings.DISK_RESERVE_BYTES:
        return False
    least = settings.DISK_RESERVE_BYTES + wanted
    return any(free is not None and free < least for free in map(_free_bytes, _folders()))


def demand(wanted: int) -> None:
    """Before fetched mail is written; raises StorageError."""
    if is_spent(wanted):
        raise StorageError(
            "The disk has no more room for fetched mail than PRX_EMAIL_DISK_RESERVE_MB leaves: the rest stays on its "
            "server until there is."
        )


def _folders() -> Iterator[Path]:
    yield Path(settings.DATA_DIR)
    storage = raw_storage()
    storage = getattr(storage, "present", storage)  # of two, the one that is written to
    if isinstance(storage, DurableFileSystemStorage):
        yield Path(storage.location)


def _free_bytes(folder: Path) -> int | None:
    """What the folder's user may still write; of the nearest folder above while it is not made."""
    for path in (folder, *folder.parents):
        try:
            disk = os.statvfs(path)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return disk.f_bavail * disk.f_frsize
    return None
