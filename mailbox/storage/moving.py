"""Moves stored mail from one raw store to another, segment by segment, while the site runs.

A segment is copied under a new name into the present store and read back. The rows of messages with correct digests are
then changed to the new segment, if they still name the old one. If two processes move at once, or one is killed, the
only remains are copies that no row names; the sweep removes these, as it removes the old segments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.core.files.base import File
from django.db import transaction
from django.utils import timezone

from mailbox.models import RawMessage
from mailbox.storage.raw_store import segment_name
from mailbox.storage.rewriting import holds
from mailbox.storage.two_stores import TwoStores

_CHUNK = 500


@dataclass
class Moved:
    """Counts of moved mail. left: a sentence for each segment or message that was not moved; its rows are unchanged."""

    segments: int = 0
    messages: int = 0
    size: int = 0  # bytes
    left: list[str] = field(default_factory=list)


def move(stores: TwoStores) -> Iterator[Moved]:
    """Move all segments, yielding the counts so far after each. Raises OSError when a store cannot be reached; the next
    run continues."""
    moved = Moved()
    for segment in _segments():
        if not stores.present.exists(segment):
            _move(stores, segment, moved)
            yield moved
    yield moved


def left_in(stores: TwoStores) -> int:
    """Count the segments that rows name but the present store lacks."""
    return sum(not stores.present.exists(segment) for segment in _segments())


def _segments() -> Iterator[str]:
    after = ""
    while True:
        rows = RawMessage.objects.filter(segment__gt=after).order_by("segment")
        names = list(rows.values_list("segment", flat=True).distinct()[:_CHUNK])
        yield from names
        if not names:
            return
        after = names[-1]


def _move(stores: TwoStores, segment: str, moved: Moved) -> None:
    try:
        with stores.other.open(segment, "rb") as source:
            name = _copied(stores, source)
    except FileNotFoundError:
        if RawMessage.objects.filter(segment=segment).exists():  # else it was moved or swept in between
            moved.left.append(f"{segment} is in neither store")
        return
    rows = list(RawMessage.objects.filter(segment=segment).values_list("digest", "offset", "length"))
    with stores.present.open(name, "rb") as there:
        sound = {digest for digest, offset, length in rows if holds(there, digest, offset, length)}
    moved.left += [f"{digest} in {segment} is damaged" for digest, _, _ in rows if digest not in sound]
    with transaction.atomic():
        updated = RawMessage.objects.filter(segment=segment, digest__in=sound).update(segment=name)
    if updated and not stores.present.exists(name):
        # This process was suspended for a day after the copy. The sweep then removed the copy, as no row named it. The
        # old segment still exists.
        RawMessage.objects.filter(segment=name).update(segment=segment)
        moved.left.append(f"{segment} was copied, and the copy was swept before rows named it: run this again")
    elif updated:
        moved.segments += 1
        moved.messages += updated
        moved.size += sum(length for digest, _, length in rows if digest in sound)


def _copied(stores: TwoStores, source: File[bytes]) -> str:
    return stores.present.save(segment_name(timezone.now()), source)
