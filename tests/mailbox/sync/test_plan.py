"""Which UIDs a run walks, by tables of cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbox.imap.fetch import FolderStatus
from mailbox.sync.plan import MAX_UID, UidRange, Walk, advanced, finished, stretch_of, uids_of, walks


def status(uidnext: int | None = 11, exists: int = 10) -> FolderStatus:
    return FolderStatus(1, uidnext, exists, None)


@pytest.mark.parametrize(
    ("cursor", "backfill", "server", "from_cursor", "expected"),
    [
        (0, None, status(), None, [Walk("down", 1, 10)]),
        (0, None, status(uidnext=None), None, [Walk("down", 1, MAX_UID)]),
        (0, None, status(exists=0), None, []),
        (10, 1, status(), None, []),
        (8, 1, status(), None, [Walk("up", 9, 10)]),
        (8, 4, status(), None, [Walk("up", 9, 10), Walk("down", 1, 3)]),
        (10, 4, status(), None, [Walk("down", 1, 3)]),
        (10, 1, status(uidnext=None), None, [Walk("up", 11, MAX_UID)]),
        (10, 1, status(uidnext=5), None, [Walk("up", 11, MAX_UID)]),
        (10, 4, status(), 6, [Walk("up", 7, 10)]),
        (0, None, status(), 0, [Walk("up", 1, 10)]),
    ],
)
def test_a_run_goes_up_first_and_then_down(
    cursor: int, backfill: int | None, server: FolderStatus, from_cursor: int | None, expected: list[Walk]
) -> None:
    assert walks(stretch_of(backfill, cursor), None, server, from_cursor) == expected


@pytest.mark.parametrize(("before", "expected"), [(None, []), (3, []), (4, []), (2, [Walk("up", 11, MAX_UID)])])
def test_where_more_messages_are_there_an_unchanged_uidnext_is_not_believed(
    before: int | None, expected: list[Walk]
) -> None:
    assert walks(UidRange(1, 10), before, status(exists=3)) == expected


def test_a_stretch_never_grows_over_a_gap() -> None:
    assert UidRange(5, 9).joined(11, 20) == UidRange(5, 9)
    assert UidRange(5, 9).joined(1, 3) == UidRange(5, 9)
    assert UidRange(5, 9).joined(10, 20) == UidRange(5, 20)
    assert UidRange(5, 9).joined(2, 4) == UidRange(2, 9)


@given(
    uids=st.sets(st.integers(1, 60)),
    limit=st.integers(1, 9),
    arrivals=st.lists(st.integers(0, 12), max_size=4),
)
def test_runs_of_any_size_store_every_uid_once_and_leave_no_gap(
    uids: set[int], limit: int, arrivals: list[int]
) -> None:
    stretch: UidRange | None = None
    stored: set[int] = set()

    def search(low: int, high: int) -> list[int]:
        return sorted(uid for uid in uids if low <= uid <= high)

    for round_number in range(80):
        if round_number < len(arrivals):
            top = max(uids, default=0)
            uids |= {top + 1 + number for number in range(arrivals[round_number])}
        server = status(uidnext=max(uids, default=0) + 1, exists=len(uids))
        left = limit
        for walk in walks(stretch, None, server):
            found = list(uids_of(walk, search))
            chosen = found[:left]
            assert not stored.intersection(chosen)
            stored.update(chosen)
            left -= len(chosen)
            stretch = advanced(stretch, walk, chosen)
            if len(chosen) == len(found):
                stretch = finished(stretch, walk)
            if stretch:
                assert {uid for uid in uids if stretch.low <= uid <= stretch.high} == stored
    assert stored == uids
