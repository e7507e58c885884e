"""Rewrites segments of which a part is no longer needed, so that its bytes leave the disk although others stay.

The messages that rows name are copied to a new segment and read back; then the rows are changed, if they still name the
old one. The sweep of the next day removes the old segment: until then a reader that looked up a row before finds its
bytes. If two processes rewrite at once, or one is killed, the only remains are copies that no row names, which the
sweep removes, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.core.files.base import File
from django.core.files.storage import Storage
from django.db import transaction
from django.utils import timezone

from mailbox.models import RawMessage
from mailbox.storage import disk_budget
from mailbox.storage.durable_files import Segment
from mailbox.storage.raw_store import digest_of, segment_name

Row = tuple[str, int, int]  # digest, offset, length


def rewrite(storage: Storage, segment: str) -> bool:
    """Copy what rows name of a segment to a new one, and have the rows name that. Raises OSError.

    Returns whether it was done: not if a message in it is damaged, which others must find where it is, nor if the copy
    would take the disk's reserve.
    """
    rows: list[Row] = list(
        RawMessage.objects.filter(segment=segment).order_by("offset").values_list("digest", "offset", "length")
    )
    if disk_budget.is_spent(sum(length for _, _, length in rows)):
        return False
    with storage.open(segment, "rb") as source:
        if not all(holds(source, *row) for row in rows):
            return False
        name = storage.save(segment_name(timezone.now()), Segment(_messages(source, rows)))
    copied = list(_one_after_another(rows))
    with storage.open(name, "rb") as there:
        if not all(holds(there, *row) for row in copied):
            return False
    _rename(rows, segment, copied, name)
    if not storage.exists(name):
        # This process was suspended for a day after the copy. The sweep then removed the copy, as no row named it. The
        # old segment still exists.
        _rename(copied, name, rows, segment)
        return False
    return True


def holds(file: File[bytes], digest: str, offset: int, length: int) -> bool:
    """Whether the file has the bytes with this digest there."""
    file.seek(offset)
    return digest_of(file.read(length)) == digest


def _messages(source: File[bytes], rows: Sequence[Row]) -> Iterator[bytes]:
    for _, offset, length in rows:
        source.seek(offset)
        yield source.read(length)


def _one_after_another(rows: Sequence[Row]) -> Iterator[Row]:
    end = 0
    for digest, _, length in rows:
        yield digest, end, length
        end += length


def _rename(before: Sequence[Row], segment: str, after: Sequence[Row], name: str) -> None:
    """Change the rows that still name this segment. One that was removed or moved meanwhile stays as it is."""
    with transaction.atomic():
        for (digest, old, _), (_, new, _) in zip(before, after, strict=True):
            RawMessage.objects.filter(digest=digest, segment=segment, offset=old).update(segment=name, offset=new)
