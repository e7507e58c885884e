"""The last of the disk is for mail that goes out: below PRX_EMAIL_DISK_RESERVE_MB nothing is fetched, before it is full.

A full disk stops the outbox as well, whose attempts must be written down before they are made. What is not fetched
stays on its server. Asked before each batch: one statvfs(2).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from mailbox.storage.backend import DurableFileSystemStorage
from mailbox.storage.raw_store import raw_storage


def is_spent() -> bool:
    """Whether a disk that this host writes mail to has less free than the reserve. Unknown counts as enough."""
    reserve = settings.DISK_RESERVE_BYTES
    return bool(reserve) and any(free is not None and free < reserve for free in map(_free_bytes, _folders()))


def _folders() -> Iterator[Path]:
    yield Path(settings.DATA_DIR)
    storage = raw_storage()
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
