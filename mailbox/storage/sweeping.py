"""Removes messages from the raw store to which no row refers and which were not stored again for a day.

Files that no row of the index names go; of files with such messages among others, `rewriting` makes new ones.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.core.files.storage import Storage
from django.db.models import Model, Sum

from mailbox.chunks import chunks
from mailbox.logs import event
from mailbox.models import RawMessage
from mailbox.storage import installations, rewriting
from mailbox.storage.durable_files import raw_storage

logger = logging.getLogger(__name__)
GRACE = timedelta(hours=24)
PART = 200_000  # digests in memory, about 30 MB
LOOK_SECONDS = 300.0  # of one sweep; the rest of its task's time is for the files
ALONE_SECONDS = 10.0  # after which a sweep looks again whether another installation has come
REWRITE_SECONDS = 240.0  # of one sweep, a part of the time that its task has; the next day's goes on
# A field with one of these names, in any model, refers to a raw message. The sweep queries all of them.
REFERENCE_FIELDS = ("raw_digest", "mime_digest")
_OURS = re.compile(r"\d{4}|check")  # top-level folders of the raw store: years, and the one of store_check
_CHUNK = 500  # digests in one IN (...), below every database's limit of parameters


def sweep(now: datetime) -> int:
    """Remove messages without a referring row that were not stored again for GRACE. Returns how many.

    None are removed while another installation uses the store. Raises OSError when the store cannot be reached.

    A segment file is removed when none of its messages is left. One of which a part is left is written anew without the
    rest, and removed by the next sweep.
    """
    if others := installations.note(now):
        event(logger, "raw_store_not_swept", logging.WARNING, others=[str(each) for each in others])
        return 0
    cutoff, removed = now - GRACE, 0
    for part in _old_ones(cutoff):
        for digests in chunks(_unreferenced(part), _CHUNK):
            # The DELETE repeats the condition, as a batch that stores one of them at this moment has renewed its row.
            removed += RawMessage.objects.filter(digest__in=digests, stored_at__lt=cutoff).delete()[0]
    _tidy_segments(cutoff)
    return removed


def _old_ones(cutoff: datetime) -> Iterator[list[str]]:
    """The digests of messages stored before `cutoff`, PART at a time in their order, for LOOK_SECONDS.

    They begin at one by chance and go round, so that a store too large for one sweep is all looked at in some days.
    """
    ends, begin = time.monotonic() + LOOK_SECONDS, _any_digest()
    old = RawMessage.objects.filter(stored_at__lt=cutoff).order_by("digest").values_list("digest", flat=True)
    for low, rows in ((begin, old), ("", old.filter(digest__lte=begin))):
        while part := list(rows.filter(digest__gt=low)[:PART]):
            yield part
            low = part[-1]
            if time.monotonic() >= ends:
                return


def _any_digest() -> str:
    return secrets.token_hex(32)


def _unreferenced(digests: Sequence[str]) -> list[str]:
    """Those of these digests, which are in the database's order, that no row refers to.

    A column with an index is asked for some hundred at a time. One without an index is read once for all of them: each
    question to it would read the whole table.
    """
    left = set(digests)
    for model, field in sorted(_references(), key=lambda each: not each[1].db_index):
        rows = model._base_manager.order_by().values_list(field.name, flat=True)
        if field.db_index:
            for asked in chunks(sorted(left), _CHUNK):
                left.difference_update(rows.filter(**{f"{field.name}__in": asked}))
        elif left:
            between = {f"{field.name}__gte": digests[0], f"{field.name}__lte": digests[-1]}
            left.difference_update(rows.filter(**between).iterator())
    return sorted(left)


def _references() -> list[tuple[type[Model], Any]]:
    """Model and field of each column that refers to raw messages."""
    columns = [(model, field) for model in apps.get_models() for field in model._meta.concrete_fields]
    return [(model, field) for model, field in columns if field.name in REFERENCE_FIELDS]


def _tidy_segments(cutoff: datetime) -> None:
    storage, began, rewritten = raw_storage(), time.monotonic(), set[str]()
    ends, looked = began + REWRITE_SECONDS, began
    for name, size in old_files(storage, cutoff):
        if time.monotonic() - looked >= ALONE_SECONDS:
            if not installations.is_alone():
                return
            looked = time.monotonic()
        needed = RawMessage.objects.filter(segment=name).aggregate(size=Sum("length"))["size"]
        if needed is None and name not in rewritten:
            _remove(storage, name)
        elif needed is not None and needed < size and time.monotonic() < ends and _rewrite(storage, name):
            rewritten.add(name)


def _remove(storage: Storage, name: str) -> None:
    """Remove a file, but from a store that is only read from and is read-only. Raises OSError."""
    try:
        storage.delete(name)
    except FileNotFoundError:
        pass
    except OSError as error:
        if not (hasattr(storage, "other") and installations.is_read_only(error)):
            raise


def _rewrite(storage: Storage, name: str) -> bool:
    try:
        return rewriting.rewrite(storage, name)
    except OSError as error:  # the file stays as it is
        event(logger, "segment_not_rewritten", logging.WARNING, segment=name, error=str(error))
        return False


def old_files(storage: Storage, cutoff: datetime) -> Iterator[tuple[str, int]]:
    """Name and size of the raw store's files written before `cutoff`. Another host may remove them in the meantime."""
    own: Callable[[datetime], Iterator[tuple[str, int]]] | None = getattr(storage, "old_files", None)
    if own is not None:  # its listing has times and sizes, which otherwise take a request per file
        yield from own(cutoff)
        return
    for name in _walk(storage, ""):
        with contextlib.suppress(FileNotFoundError):
            if storage.get_modified_time(name) < cutoff:
                yield name, storage.size(name)


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
