"""Bytes that nobody refers to leave the disk though their file holds others, and those others are never lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from mailbox.models import RawMessage
from mailbox.storage import installations, raw_store, rewriting, sweeping
from mailbox.storage.durable_files import raw_storage

pytestmark = pytest.mark.django_db
NOW = timezone.now()
ERASED, KEPT = b"of eve", {b"one", b"", b"\x00\xff" * 1000}


@pytest.fixture(autouse=True)
def location(tmp_path: Path, settings: Any) -> Path:
    """Two messages that nobody refers to, among three that are kept, in one file; and one that is needed as it is."""
    backend = "mailbox.storage.durable_files.DurableFileSystemStorage"
    raw = {"BACKEND": backend, "OPTIONS": {"location": str(tmp_path / "raw")}}
    settings.STORAGES = settings.STORAGES | {"raw": raw}
    raw_store.save_batch([ERASED, *sorted(KEPT), b"of eve, too"], now=NOW - timedelta(days=2))
    raw_store.reference(map(raw_store.digest_of, KEPT), NOW)
    raw_store.save_batch([b"another", b"file"], now=NOW)
    return tmp_path / "raw"


def files(location: Path) -> dict[str, bytes]:
    return {str(path.relative_to(location)): path.read_bytes() for path in location.rglob("*.seg")}


def sweep(location: Path) -> None:
    """As a day later: all files that are there are old."""
    for path in location.rglob("*.seg"):
        os.utime(path, (0, 0))
    sweeping.sweep(NOW)


def all_are_read() -> bool:
    return {raw_store.open_raw(raw_store.digest_of(raw)) for raw in KEPT} == KEPT


def of(raw: bytes) -> str:
    return RawMessage.objects.get(digest=raw_store.digest_of(raw)).segment


def test_a_file_is_written_anew_without_them_and_the_old_one_goes_a_day_later(location: Path) -> None:
    before, old = files(location), of(b"one")
    sweep(location)
    assert of(b"one") != old and files(location).items() > before.items() and all_are_read()
    sweep(location)
    assert all_are_read() and old not in files(location)
    assert sorted(files(location).values()) == sorted([b"".join(sorted(KEPT)), b"anotherfile"])
    assert ERASED not in b"".join(files(location).values())
    settled = files(location)
    sweep(location)
    assert files(location) == settled


def test_a_file_with_a_damaged_message_stays_as_it_is(location: Path) -> None:
    path = location / of(b"one")
    path.write_bytes(path.read_bytes().replace(b"one", b"eno"))
    before = files(location)
    sweep(location)
    assert files(location) == before and of(b"one") == of(b"")


def test_it_leaves_the_disk_its_reserve(location: Path, settings: Any) -> None:
    settings.DISK_RESERVE_BYTES = 2**60
    before = files(location)
    sweep(location)
    assert files(location) == before and all_are_read()


def test_a_disk_that_refuses_leaves_it_as_it_is_and_the_sweep_goes_on(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    (nobodys,) = raw_store.save_batch([b"nobody's"], now=NOW - timedelta(days=2))
    installations.note(NOW)  # of a day when there was room
    with monkeypatch.context() as patch:
        patch.setattr(raw_storage(), "_save", full)
        sweep(location)
    assert len(files(location)) == 2 and all_are_read()
    assert not RawMessage.objects.filter(digest=nobodys).exists()


@pytest.fixture
def before_the_rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """before_the_rows(happens): that happens once, when a copy was made and no row names it."""
    rename = rewriting._rename

    def when(happens: Callable[[], object]) -> None:
        def first(*arguments: Any) -> None:
            monkeypatch.setattr(rewriting, "_rename", rename)
            happens()
            rename(*arguments)

        monkeypatch.setattr(rewriting, "_rename", first)

    return when


def test_killed_before_the_rows_it_is_done_by_the_next_sweep(
    location: Path, before_the_rows: Callable[[Callable[[], object]], None]
) -> None:
    before_the_rows(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sweep(location)
    assert all_are_read() and len(files(location)) == 3
    for _ in range(2):
        sweep(location)
    assert all_are_read()
    assert sorted(files(location).values()) == sorted([b"".join(sorted(KEPT)), b"anotherfile"])


def test_asleep_for_a_day_before_the_rows_they_name_the_old_file_again(
    location: Path, before_the_rows: Callable[[Callable[[], object]], None]
) -> None:
    before, old = files(location), of(b"one")

    def copy_goes() -> None:
        for name in files(location).keys() - before.keys():
            raw_storage().delete(name)

    before_the_rows(copy_goes)
    sweep(location)
    assert of(b"one") == old and all_are_read()


def test_two_at_once_leave_rows_that_name_one_copy(
    location: Path, before_the_rows: Callable[[Callable[[], object]], None]
) -> None:
    """Another host does the same between our copy and our rows, and removes one of the messages."""

    def another() -> None:
        RawMessage.objects.filter(digest=raw_store.digest_of(b"")).delete()
        assert rewriting.rewrite(raw_storage(), of(b"one"))

    before_the_rows(another)
    sweep(location)
    left = KEPT - {b""}
    assert {raw_store.open_raw(raw_store.digest_of(raw)) for raw in left} == left
    assert not RawMessage.objects.filter(digest=raw_store.digest_of(b"")).exists()
    for _ in range(2):
        sweep(location)
    assert {raw_store.open_raw(raw_store.digest_of(raw)) for raw in left} == left and len(files(location)) == 2
