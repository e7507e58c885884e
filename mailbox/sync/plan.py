"""Which UIDs a run fetches, and how far the cursors may move. Pure.

A folder's state is a stretch: every UID from `low` (backfill_cursor) to `high` (cursor) is stored, quarantined or gone.
A run first goes up from the stretch (mail that came since), oldest first, so that it stays one piece however much
waits; what is left of `max_messages` goes down from it (older mail). A new folder is a stretch that does not exist yet:
it begins at the newest message and goes down. Nothing is skipped, whatever a run leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from mailbox.imap.fetch import FolderStatus

MAX_UID = 2**32 - 1
FIRST_WINDOW = 1000  # UIDs; a window that held little makes the next four times as wide


@dataclass(frozen=True)
class UidRange:
    """UIDs low..high, both ends included; low = 1 when the bottom of the folder is reached."""

    low: int
    high: int

    def joined(self, low: int, high: int) -> UidRange:
        """This stretch with low..high added, or unchanged when the two would leave a gap between them."""
        if low > self.high + 1 or high < self.low - 1:
            return self
        return UidRange(min(self.low, low), max(self.high, high))


@dataclass(frozen=True)
class Walk:
    """UIDs low..high, to be searched for and fetched upward or downward."""

    direction: Literal["up", "down"]
    low: int
    high: int


@dataclass(frozen=True)
class SyncPlan:
    """`start` is None for a folder to be walked from its newest message; `restarted` when UIDVALIDITY changed."""

    start: UidRange | None
    walks: tuple[Walk, ...]
    restarted: bool = False


def plan(
    *,
    uidvalidity: int | None,
    cursor: int,
    backfill_cursor: int | None,
    status: FolderStatus,
    from_cursor: int | None = None,
) -> SyncPlan:
    """Decide a run from the stored state and the server's. `from_cursor`: only what lies above this UID, oldest first.

    UIDVALIDITY is compared with != (RFC 3501, 2.3.1.1): after a change the UIDs known mean nothing.
    """
    restarted = uidvalidity is not None and uidvalidity != status.uidvalidity
    start = None if restarted or backfill_cursor is None else UidRange(backfill_cursor, cursor)
    if status.exists == 0:
        return SyncPlan(start, (), restarted)
    if from_cursor is not None:
        return SyncPlan(start, (Walk("up", from_cursor + 1, top(status, from_cursor)),), restarted)
    if start is None:
        return SyncPlan(None, (Walk("down", 1, top(status, 0)),), restarted)
    walks = []
    if status.uidnext != start.high + 1:
        walks.append(Walk("up", start.high + 1, top(status, start.high)))
    if start.low > 1:
        walks.append(Walk("down", 1, start.low - 1))
    return SyncPlan(start, tuple(walks), restarted)


def top(status: FolderStatus, known: int) -> int:
    """The highest UID there can be. Some servers state no UIDNEXT, or one that fell (GMX): then it proves nothing."""
    if status.uidnext is None or status.uidnext <= max(known, status.exists):
        return MAX_UID
    return status.uidnext - 1


def uids_of(walk: Walk, search: Callable[[int, int], list[int]]) -> Iterator[int]:
    """The UIDs on this walk, in its order, searched for window by window as far as they are asked for."""
    width = FIRST_WINDOW
    low, high = walk.low, walk.high
    while low <= high:
        edge = min(low + width - 1, high) if walk.direction == "up" else max(high - width + 1, low)
        found = search(low, edge) if walk.direction == "up" else search(edge, high)
        yield from found if walk.direction == "up" else reversed(found)
        low, high = (edge + 1, high) if walk.direction == "up" else (low, edge - 1)
        width *= 4 if len(found) < FIRST_WINDOW // 2 else 1


def advanced(stretch: UidRange | None, walk: Walk, uids: list[int], *, last: bool) -> UidRange | None:
    """The stretch after this run of UIDs, in the walk's order, is stored. `last`: none is left on the walk.

    The cursor is the highest UID seen, so a walk up ends at its last message; a walk down that is done has reached
    the bottom.
    """
    if walk.direction == "up":
        if not uids:
            return stretch
        low, high = walk.low, max(uids)
        return UidRange(low, high) if stretch is None else stretch.joined(low, high)
    if not uids and (stretch is None or not last):
        return stretch
    low = walk.low if last else min(uids)
    return UidRange(low, max(uids)) if stretch is None else stretch.joined(low, stretch.low - 1)
