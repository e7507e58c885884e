"""Compares what a server states of UIDs with what is stored of them. Pure.

A difference is what no sync explains. What the next sync brings or hides (mail that came since, mail that was
expunged since) and what is left out on purpose (put aside, removed by a rule) is counted by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MOST_NAMED = 100  # findings of a folder that are named; all are counted


@dataclass(frozen=True)
class StoredUid:
    """What is stored of one UID. `is_shown`: False for mail that is hidden as expunged. `is_whole`: False where only
    the header of a too large message is here."""

    uid: int
    size: int
    is_shown: bool = True
    is_whole: bool = True


@dataclass(frozen=True)
class StoredRange:
    """What is here of a range of UIDs, and of which stretch of the folder a sync has fetched all (low > high: none)."""

    places: Mapping[int, StoredUid]
    let_go: frozenset[int] = frozenset()
    quarantined: frozenset[int] = frozenset()
    fetched_low: int = 1
    fetched_high: int = 0


# What a finding is called. The last two are not synced yet; the others are differences.
MISSING, HIDDEN, SIZE = "missing", "hidden", "size"
DAMAGED, LOST, OTHER_BYTES = "damaged", "lost", "other_bytes"
WAITING, EXPUNGED = "waiting", "expunged"
DIFFERENCES = frozenset({MISSING, HIDDEN, SIZE, DAMAGED, LOST, OTHER_BYTES})
# What mends it: the next sync fetches or hides it; it was stored again; what was fetched first is kept; a backup.
FETCH, HIDE, STORED, KEPT, RESTORE = "fetch", "hide", "stored", "kept", "restore"


@dataclass(frozen=True)
class Finding:
    """`stored_size`, `stated_size`: bytes, where these differ."""

    uid: int
    what: str
    remedy: str
    stored_size: int | None = None
    stated_size: int | None = None


@dataclass
class FolderLine:
    """One folder of a report. `stored` of `on_server` messages are here; of the others `let_go` were removed by a rule
    and `quarantined` put aside, of `header_only` the rest was too large to be fetched, `waiting` are not fetched yet,
    and what is left differs. `expunged`: here, and no longer on the server.

    Of a comparison under way: `next_uid` is where it goes on (0 at its end), and `unlisted` the number of messages that
    the server's SEARCH left out so far and its FETCH knows.
    """

    folder: str
    uidvalidity: int | None = None
    at: str = ""  # ISO 8601: when its comparison ended
    on_server: int = 0
    stored: int = 0
    let_go: int = 0
    quarantined: int = 0
    header_only: int = 0
    waiting: int = 0
    expunged: int = 0
    sampled: int = 0
    differ: int = 0
    error: str = ""
    next_uid: int = 1
    unlisted: int = 0
    findings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return not self.next_uid

    def begin_anew(self) -> None:
        vars(self).update(vars(FolderLine(self.folder)))

    def note(self, found: Iterable[Finding]) -> None:
        for each in found:
            if each.what in DIFFERENCES:
                self.differ += 1
                self._make_room()
            if len(self.findings) < MOST_NAMED:
                self.findings.append(asdict(each))

    def _make_room(self) -> None:
        """A difference is named before what is only not synced yet."""
        if len(self.findings) >= MOST_NAMED:
            of_no_account = (at for at, each in enumerate(self.findings) if each["what"] not in DIFFERENCES)
            if (at := next(of_no_account, None)) is not None:
                del self.findings[at]


def compare(line: FolderLine, sizes: Mapping[int, int], held: StoredRange) -> list[Finding]:
    """Count these UIDs into the line and return what is to be named. `sizes`: RFC822.SIZE of all that the server has
    of the range, 0 where it states none."""
    found: list[Finding] = []
    line.on_server += len(sizes)
    for uid in sorted(sizes):
        place = held.places.get(uid)
        if place is not None and place.is_shown:
            line.stored += place.is_whole
            line.header_only += not place.is_whole
            found += _of_size(place, sizes[uid])
        elif uid in held.let_go:
            line.let_go += 1
        elif uid in held.quarantined:
            line.quarantined += 1
        elif held.fetched_low <= uid <= held.fetched_high:
            found.append(Finding(uid, MISSING if place is None else HIDDEN, FETCH))
        else:
            line.waiting += 1
            found.append(Finding(uid, WAITING, FETCH))
    for uid in sorted(held.places.keys() - sizes.keys()):
        if held.places[uid].is_shown:
            line.expunged += 1
            found.append(Finding(uid, EXPUNGED, HIDE))
    line.note(found)
    return found


def _of_size(place: StoredUid, stated: int) -> list[Finding]:
    if not stated or stated == place.size:
        return []
    return [Finding(place.uid, SIZE, FETCH, place.size, stated)]
