"""Moves stored mail from one raw store to another, segment by segment, while the site runs.

A segment is copied under a new name into the present store and read back. The rows of messages with correct digests are
then changed to the new segment, if they still name the old one. If two processes move at once, or one is killed, the
only remains are copies that no row names; the sweep removes these, as it removes the old segments.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from django.db import transaction
from django.utils import timezone

from mailbox.models import RawMessage
from mailbox.storage.raw_store import segment_name
from mailbox.storage.rewriting import holds
from mailbox.storage.two_stores import TwoStores

T = TypeVar("T")
_CHUNK = 500
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
LONGEST_OUTAGE_SECONDS = 3600.0


@dataclass
class Moved:
    """Counts of moved mail. left: a sentence for each segment or message that was not moved; its rows are unchanged."""

    segments: int = 0
    messages: int = 0
    size: int = 0  # bytes
    left: list[str] = field(default_factory=list)


class Patience:
    """Repeats what a store refuses, with longer and longer pauses, until an outage has lasted LONGEST_OUTAGE_SECONDS.

    `told` is called before each pause with the error and the pause. `clock` and `sleep` are those of `time`.
    has_worked: a segment was found or moved. Until then nothing is repeated, as a setting may be wrong.
    """

    def __init__(
        self,
        told: Callable[[OSError, float], object] = lambda error, pause: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._told, self._clock, self._sleep = told, clock, sleep
        self.has_worked = False

    def ask(self, question: Callable[[], T]) -> T:
        """The answer. Raises FileNotFoundError, which is an answer, at once, and another OSError after an outage."""
        began, pause = self._clock(), FIRST_PAUSE_SECONDS
        while True:
            try:
                return question()
            except FileNotFoundError:
                raise
            except OSError as error:
                if not self.has_worked or self._clock() - began >= LONGEST_OUTAGE_SECONDS:
                    raise
                self._told(error, pause)
                self._sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def move(stores: TwoStores, patience: Patience | None = None) -> Iterator[Moved]:
    """Move all segments, yielding the counts so far after each. Raises OSError when a store cannot be reached for
    longer than `patience` waits; the next run continues."""
    moved, patience = Moved(), patience or Patience()
    for segment in _segments():
        if not patience.ask(partial(stores.present.exists, segment)):
            _move(stores, segment, moved, patience)
            yield moved
        patience.has_worked = True
    yield moved


def left_in(stores: TwoStores, patience: Patience | None = None) -> int:
    """Count the segments that rows name but the present store lacks. Raises OSError as move() does."""
    patience = patience or Patience()
    return sum(not patience.ask(partial(stores.present.exists, segment)) for segment in _segments())


def _segments() -> Iterator[str]:
    after = ""
    while True:
        rows = RawMessage.objects.filter(segment__gt=after).order_by("segment")
        names = list(rows.values_list("segment", flat=True).distinct()[:_CHUNK])
        yield from names
        if not names:
            return
        after = names[-1]


def _move(stores: TwoStores, segment: str, moved: Moved, patience: Patience) -> None:
    try:
        name = patience.ask(partial(_copied, stores, segment))
    except FileNotFoundError:
        if RawMessage.objects.filter(segment=segment).exists():  # else it was moved or swept in between
            moved.left.append(f"{segment} is in neither store")
        return
    rows = list(RawMessage.objects.filter(segment=segment).values_list("digest", "offset", "length"))
    sound = patience.ask(partial(_sound, stores, name, rows))
    moved.left += [f"{digest} in {segment} is damaged" for digest, _, _ in rows if digest not in sound]
    with transaction.atomic():
        updated = RawMessage.objects.filter(segment=segment, digest__in=sound).update(segment=name)
    if updated and not patience.ask(partial(stores.present.exists, name)):
        # This process was suspended for a day after the copy. The sweep then removed the copy, as no row named it. The
        # old segment still exists.
        RawMessage.objects.filter(segment=name).update(segment=segment)
        moved.left.append(f"{segment} was copied, and the copy was swept before rows named it: run this again")
    elif updated:
        moved.segments += 1
        moved.messages += updated
        moved.size += sum(length for digest, _, length in rows if digest in sound)


def _copied(stores: TwoStores, segment: str) -> str:
    """The name of a new copy. A copy whose write failed has another name, and is swept if it is there after all."""
    with stores.other.open(segment, "rb") as source:
        return stores.present.save(segment_name(timezone.now()), source)


def _sound(stores: TwoStores, name: str, rows: list[tuple[str, int, int]]) -> set[str]:
    """The digests whose bytes the copy has, read back from it."""
    with stores.present.open(name, "rb") as there:
        return {digest for digest, offset, length in rows if holds(there, digest, offset, length)}
