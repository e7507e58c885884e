"""Compares the UIDs and sizes that a server states with the stored ones. Pure.

Only a deviation that syncs do not explain counts as a difference. Counted apart are what the next sync will bring in
line (mail that arrived or was expunged since the last, changed flags, a renumbered folder), and mail that is left out
on purpose (quarantined, or removed by a retention rule).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MOST_NAMED = 100  # findings of a folder that a report lists; all are counted


@dataclass(frozen=True)
class StoredUid:
    """The stored message of one UID. `is_shown`: False when it is hidden as expunged. `is_whole`: False when only the
    header is stored, since the message is too large. `size`: bytes."""

    uid: int
    size: int
    is_shown: bool = True
    is_whole: bool = True


@dataclass(frozen=True)
class StoredRange:
    """What is stored of a range of UIDs. `fetched_low` to `fetched_high`: the stretch of the folder that syncs have
    fetched completely (low > high: none)."""

    places: Mapping[int, StoredUid]
    let_go: frozenset[int] = frozenset()
    quarantined: frozenset[int] = frozenset()
    fetched_low: int = 1
    fetched_high: int = 0


# The kinds of findings. The last three are only not synced yet; the others are differences.
MISSING, HIDDEN, SIZE = "missing", "hidden", "size"
DAMAGED, LOST, OTHER_BYTES = "damaged", "lost", "other_bytes"
WAITING, EXPUNGED, FLAGS = "waiting", "expunged", "flags"
DIFFERENCES = frozenset({MISSING, HIDDEN, SIZE, DAMAGED, LOST, OTHER_BYTES})
# The remedies: the next sync fetches the message, hides it, or takes its flags; it was stored again; the copy that was
# fetched first is kept; it must be restored from a backup.
FETCH, HIDE, FOLLOW, STORED, KEPT, RESTORE = "fetch", "hide", "follow", "stored", "kept", "restore"


@dataclass(frozen=True)
class Finding:
    """One deviation. `what`, `remedy`: constants above. `stored_size`, `stated_size`: bytes, where the two differ."""

    uid: int
    what: str
    remedy: str
    stored_size: int | None = None
    stated_size: int | None = None


@dataclass
class FolderLine:
    """One folder of a report.

    Of the `on_server` messages, `stored` are stored completely, `header_only` only with their header (too large),
    `let_go` were removed by a retention rule, `quarantined` could not be stored or parsed, and `waiting` are not
    fetched yet; the rest differ. `expunged`: stored and shown, but no longer on the server. `other_flags`: with other
    flags than on the server.

    `renumbered_from`: the UIDVALIDITY of the stored messages when the server's is another one. `gone_at`: ISO 8601,
    when the folder was found to be removed from the server; of its messages `kept` are still stored.

    While the comparison runs, `next_uid` is the UID it goes on from (0 at its end). `unlisted`: messages that the
    server's SEARCH left out so far but its FETCH returned.
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
    other_flags: int = 0
    renumbered_from: int | None = None
    gone_at: str = ""
    kept: int = 0
    sampled: int = 0
    differ: int = 0
    error: str = ""
    next_uid: int = 1
    unlisted: int = 0
    findings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether the comparison of this folder has come to its end."""
        return not self.next_uid

    def begin_anew(self) -> None:
        """Forget all counts and findings, as when the folder was renumbered (UIDVALIDITY) meanwhile."""
        vars(self).update(vars(FolderLine(self.folder)))

    def note(self, found: Iterable[Finding]) -> None:
        """Count the differences, and keep MOST_NAMED findings at most: differences before others."""
        for each in found:
            if each.what in DIFFERENCES:
                self.differ += 1
                self._make_room()
            if len(self.findings) < MOST_NAMED:
                self.findings.append(asdict(each))

    def _make_room(self) -> None:
        """When MOST_NAMED findings are named, drop one that is no difference, so that the new difference is named."""
        if len(self.findings) >= MOST_NAMED:
            harmless = (at for at, each in enumerate(self.findings) if each["what"] not in DIFFERENCES)
            if (at := next(harmless, None)) is not None:
                del self.findings[at]


def compare(line: FolderLine, sizes: Mapping[int, int], held: StoredRange) -> list[Finding]:
    """Compare one range of UIDs: add the counts and findings to the line, and return the findings.

    `sizes`: RFC822.SIZE of all messages that the server has in the range, 0 where it states none.
    """
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
