"""Checks whether this host can write and read the raw store, by doing so every LOOK_SECONDS at most.

A host that cannot takes no syncs and no deliveries, and leaves them to other hosts.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass

from django.core.files.base import ContentFile

from mailbox.logs import event
from mailbox.storage import local_copies
from mailbox.storage.durable_files import raw_storage

logger = logging.getLogger(__name__)
LOOK_SECONDS = 15.0  # between two checks in one process
FOLDER = "check"


@dataclass
class _LastCheck:
    at: float = float("-inf")  # by time.monotonic()
    is_usable: bool = True
    seconds: float = 0.0
    copies_swept_at: float = float("-inf")


_known = _LastCheck()


def is_usable(*, look_again: bool = False) -> bool:
    """Whether a small file could be written, read and removed. The result is cached for LOOK_SECONDS.

    Once an hour a check also sweeps local_copies. look_again: check now, whatever the cache.
    """
    now = time.monotonic()
    if look_again or now - _known.at >= LOOK_SECONDS:
        _known.is_usable, _known.at = _look(), now
        _known.seconds = time.monotonic() - now
        if now >= _known.copies_swept_at + 3600:  # here, as a scheduled task would run on one host only
            _known.copies_swept_at = now
            local_copies.sweep()
    return _known.is_usable


def seconds() -> float:
    """How long the last check in this process took, in seconds."""
    return _known.seconds


def _look() -> bool:
    storage, written = raw_storage(), secrets.token_bytes(16)
    try:
        name = storage.save(f"{FOLDER}/{secrets.token_hex(8)}", ContentFile(written))
        try:
            with storage.open(name) as file:
                was_read = bool(file.read() == written)
        finally:
            storage.delete(name)
    except Exception as error:  # another storage class may raise anything
        event(logger, "store_unusable", logging.ERROR, error=f"{type(error).__name__}: {error}")
        return False
    if not was_read:
        event(logger, "store_unusable", logging.ERROR, error="What was written is not what was read.")
    return was_read
