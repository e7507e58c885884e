"""Decides which UIDs a run fetches, and how far the cursors may move. Pure.

The state of a folder is one contiguous stretch of UIDs: each UID from `low` (backfill_cursor) to `high` (cursor) is
stored, quarantined or gone from the server. A run first walks up from the stretch (new mail), oldest first, so that
the stretch stays contiguous however much is waiting. What is left of `max_messages` walks down from it (older mail). A
new folder has no stretch: its walk begins at the newest message and goes down. So a run that ends early skips nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from mailbox.imap.fetch import FolderStatus

MAX_UID = 2**32 - 1
FIRST_WINDOW = 1000  # UIDs of the first SEARCH; after a window with few messages the next is four times as wide


@dataclass(frozen=True)
class UidRange:
    """The UIDs from low to high, both included. low = 1: the oldest message is reached."""

    low: int
    high: int

    def joined(self, low: int, high: int) -> UidRange:
        """This range extended by low..high; unchanged when there would be a gap between the two."""
        if low > self.high + 1 or high < self.low - 1:
            return self
        return UidRange(min(self.low, low), max(self.high, high))


@dataclass(frozen=True)
class Walk:
    """A range of UIDs to search for and fetch, in ascending ("up") or descending ("down") order."""

    direction: Literal["up", "down"]
    low: int
    high: int


def stretch_of(backfill_cursor: int | None, cursor: int) -> UidRange | None:
    """The stretch that these columns of SyncState say; None for a folder that has none yet."""
    return None if backfill_cursor is None else UidRange(backfill_cursor, cursor)


def walks(
    stretch: UidRange | None, exists: int | None, status: FolderStatus, from_cursor: int | None = None
) -> list[Walk]:
    """What a run walks, from the stored stretch and the server's status.

    exists: messages on the server at the last run. Where more are there than then and UIDNEXT is as it was, UIDNEXT is
    stale, as that of a server's cache.
    from_cursor: fetch only what lies above this UID, oldest first.
    """
    if status.exists == 0:
        return []
    if from_cursor is not None:
        return [Walk("up", from_cursor + 1, top(status, from_cursor))]
    if stretch is None:
        return [Walk("down", 1, top(status, 0))]
    found = []
    if status.uidnext != stretch.high + 1:
        found.append(Walk("up", stretch.high + 1, top(status, stretch.high)))
    elif exists is not None and status.exists > exists:
        found.append(Walk("up", stretch.high + 1, MAX_UID))
    if stretch.low > 1:
        found.append(Walk("down", 1, stretch.low - 1))
    return found


def top(status: FolderStatus, known: int) -> int:
    """The highest UID that may exist: UIDNEXT - 1, or MAX_UID for a server without a believable UIDNEXT.

    Some servers state none, or one that fell (GMX).
    """
    if status.uidnext is None or status.uidnext <= max(known, status.exists):
        return MAX_UID
    return status.uidnext - 1


def uids_of(walk: Walk, search: Callable[[int, int], list[int]]) -> Iterator[int]:
    """Yield the walk's UIDs in its order. `search(low, high)` is called window by window, only as far as needed."""
    width = FIRST_WINDOW
    low, high = walk.low, walk.high
    while low <= high:
        edge = min(low + width - 1, high) if walk.direction == "up" else max(high - width + 1, low)
        found = search(low, edge) if walk.direction == "up" else search(edge, high)
        yield from found if walk.direction == "up" else reversed(found)
        low, high = (edge + 1, high) if walk.direction == "up" else (low, edge - 1)
        width *= 4 if len(found) < FIRST_WINDOW // 2 else 1


def advanced(stretch: UidRange | None, walk: Walk, uids: list[int]) -> UidRange | None:
    """The stretch after these UIDs of the walk, in its order, were stored: it reaches to the last of them, no further.

    A walk up also covers the UIDs between the stretch and the first of them, since none exists there.
    """
    if not uids:
        return stretch
    is_up = walk.direction == "up"
    low = walk.low if is_up else min(uids)
    if stretch is None:
        return UidRange(low, max(uids))
    return stretch.joined(low, max(uids) if is_up else stretch.low - 1)


def finished(stretch: UidRange | None, walk: Walk) -> UidRange | None:
    """The stretch after all UIDs of the walk were stored: no message exists between it and the end of a walk down.

    After a walk up it ends at the highest UID stored, as a message may still come above it.
    """
    if stretch is None or walk.direction == "up":
        return stretch
    return stretch.joined(walk.low, stretch.low - 1)
