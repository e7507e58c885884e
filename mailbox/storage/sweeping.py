"""Removes messages from the raw store to which no row refers and which were not stored again for a day."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from django.apps import apps
from django.core.files.storage import Storage

from mailbox.models import RawMessage
from mailbox.storage.durable_files import raw_storage

GRACE = timedelta(hours=24)
# A field with one of these names, in any model, refers to a raw message. The sweep queries all of them.
REFERENCE_FIELDS = ("raw_digest", "mime_digest")
_OURS = re.compile(r"\d{4}|check")  # top-level folders of the raw store: years, and the one of store_check
_CHUNK = 500  # digests in one IN (...), below every database's limit of parameters


def sweep(now: datetime) -> int:
    """Remove messages without a referring row that were not stored again for GRACE. Returns how many.

    A segment file is removed when none of its messages is left.
    """
    cutoff = now - GRACE
    removed, after = 0, ""
    while True:
        old = RawMessage.objects.filter(stored_at__lt=cutoff, digest__gt=after).order_by("digest")
        digests = list(old.values_list("digest", flat=True)[:_CHUNK])
        if not digests:
            break
        after = digests[-1]
        unreferenced = set(digests) - _referenced(digests)
        # The DELETE repeats the condition, as a batch that stores one of them at this moment has renewed its row.
        removed += RawMessage.objects.filter(digest__in=unreferenced, stored_at__lt=cutoff).delete()[0]
    _remove_empty_segments(cutoff)
    return removed


def _referenced(digests: Sequence[str]) -> set[str]:
    left = set(digests)
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if field.name in REFERENCE_FIELDS and left:
                rows = model._base_manager.filter(**{f"{field.name}__in": left})
                left -= set(rows.values_list(field.name, flat=True))
    return set(digests) - left


def _remove_empty_segments(cutoff: datetime) -> None:
    storage = raw_storage()
    for name in old_files(storage, cutoff):
        if not RawMessage.objects.filter(segment=name).exists():
            with contextlib.suppress(FileNotFoundError):
                storage.delete(name)


def old_files(storage: Storage, cutoff: datetime) -> Iterator[str]:
    """Names of the raw store's files written before `cutoff`. Another host may remove them in the meantime."""
    own: Callable[[datetime], Iterator[str]] | None = getattr(storage, "old_files", None)
    if own is not None:  # its listing has the times, which otherwise take one request per file
        yield from own(cutoff)
        return
    for name in _walk(storage, ""):
        with contextlib.suppress(FileNotFoundError):
            if storage.get_modified_time(name) < cutoff:
                yield name


def _walk(storage: Storage, folder: str) -> Iterator[str]:
    try:
        folders, files = storage.listdir(folder)
    except FileNotFoundError:
        return
    # Skips a file server's own entries: ".nfs…" (a removed file that a host still has open), and at the top lost+found
    # and .snapshot.
    yield from (f"{folder}{name}" for name in files if not name.startswith("."))
    for name in folders:
        if folder or _OURS.fullmatch(name):
            yield from _walk(storage, f"{folder}{name}/")
