"""Keeps PRX_EMAIL_DISK_RESERVE_MB of the disk free of fetched mail, so that mail can still be sent.

A full disk stops the outbox, too, as each attempt must be saved before it is made. Mail that is not fetched stays on
its server. Checked before each batch and each piece of a large message; a check costs one statvfs(2) per folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from django.conf import settings

from mailbox.errors import StorageError
from mailbox.storage.durable_files import store_folder

T = TypeVar("T")


def is_spent(wanted: int = 0) -> bool:
    """Whether `wanted` more bytes would leave less than the reserve free on a disk to which this host writes mail.

    An unknown amount of free space counts as enough.
    """
    if not settings.DISK_RESERVE_BYTES:
        return False
    least = settings.DISK_RESERVE_BYTES + wanted
    return any(free is not None and free < least for free in map(_free_bytes, _folders()))


def demand(wanted: int) -> None:
    """Raise StorageError if there is no room for `wanted` bytes. Call it before fetched mail is written."""
    if is_spent(wanted):
        raise StorageError(
            "The disk has no more room for fetched mail than PRX_EMAIL_DISK_RESERVE_MB leaves: the rest stays on its "
            "server until there is."
        )


def takes_reserve(folder: Path, wanted: int) -> bool:
    """Whether `wanted` more bytes in this folder would take the reserve of a disk to which this host writes mail.

    Never on another disk: if that is full, mail is fetched and sent all the same.
    """
    disk, free = _disk_of(folder), _free_bytes(folder)
    if not settings.DISK_RESERVE_BYTES or disk is None or free is None:
        return False
    return free < settings.DISK_RESERVE_BYTES + wanted and disk in map(_disk_of, _folders())


def _folders() -> Iterator[Path]:
    yield Path(settings.DATA_DIR)
    if store := store_folder():
        yield store


def _free_bytes(folder: Path) -> int | None:
    """Bytes that this process may still write to the folder's disk, or None if unknown."""
    disk = _asked(os.statvfs, folder)
    return None if disk is None else disk.f_bavail * disk.f_frsize


def _disk_of(folder: Path) -> int | None:
    """A number of the folder's disk, or None if unknown."""
    status = _asked(os.stat, folder)
    return None if status is None else status.st_dev


def _asked(ask: Callable[[Path], T], folder: Path) -> T | None:
    """What the system says of a folder, or None. For one that does not exist yet: of its nearest existing parent."""
    for path in (folder, *folder.parents):
        try:
            return ask(path)
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
