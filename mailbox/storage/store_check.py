"""Whether this host can write and read the raw store.

A host that cannot takes no sync and no delivery: another one does. Looked at by doing it, and seldom.
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
LOOK_SECONDS = 15.0  # between two looks of one process
FOLDER = "check"


@dataclass
class _LastCheck:
    at: float = float("-inf")  # by time.monotonic()
    is_usable: bool = True
    seconds: float = 0.0
    copies_swept_at: float = float("-inf")


_known = _LastCheck()


def is_usable(*, look_again: bool = False) -> bool:
    """Whether a small file could be written, read and removed, at most LOOK_SECONDS ago."""
    now = time.monotonic()
    if look_again or now - _known.at >= LOOK_SECONDS:
        _known.is_usable, _known.at = _look(), now
        _known.seconds = time.monotonic() - now
        if now >= _known.copies_swept_at + 3600:  # each host has its own, so no scheduled task reaches them all
            _known.copies_swept_at = now
            local_copies.sweep()
    return _known.is_usable


def seconds() -> float:
    """How long the last look of this process took: to write, read and remove a small file."""
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
    except Exception as error:  # of whatever storage class
        event(logger, "store_unusable", logging.ERROR, error=f"{type(error).__name__}: {error}")
        return False
    if not was_read:
        event(logger, "store_unusable", logging.ERROR, error="What was written is not what was read.")
    return was_read
