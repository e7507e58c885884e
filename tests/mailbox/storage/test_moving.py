"""Stored mail is moved from one store to another while it is written, read, swept, and the mover killed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from mailbox.models import RawMessage, StoreNote
from mailbox.storage import installations, moving, raw_store, store_check, sweeping
from mailbox.storage.durable_files import raw_storage
from mailbox.storage.sweeping import old_files
from mailbox.storage.two_stores import TwoStores
from prx_email_site.environment import SettingError
from prx_email_site.settings.raw_store import raw_storage_of
from tests.commands import Run
from tests.servers.small_disk import NoSmallDisk, small_disk

pytestmark = pytest.mark.django_db
RAWS = [f"mail {number}".encode() for number in range(6)]
Use = Callable[[str, str], TwoStores]


@pytest.fixture
def use(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Use:
    """use(folder, also): the raw store of this process is that folder from now on, and the other is also read."""
    settings.DATA_DIR = tmp_path / "data"

    def change(folder: str, also: str) -> Any:
        monkeypatch.setenv("PRX_EMAIL_RAW_DIR", str(tmp_path / folder))
        monkeypatch.setenv("PRX_EMAIL_RAW_ALSO_READ", str(tmp_path / also) if also else "")
        settings.STORAGES = {**settings.STORAGES, "raw": raw_storage_of(tmp_path)}
        return raw_storage()

    return change


@pytest.fixture
def stores(use: Use) -> TwoStores:
    """Three segments in the old store, which is left."""
    use("old", "")
    for start in (0, 2, 4):
        raw_store.save_batch(RAWS[start : start + 2])
    return use("new", "old")


def all_are_read() -> bool:
    return [raw_store.open_raw(raw_store.digest_of(raw)) for raw in RAWS] == RAWS


def last(moved: Any) -> moving.Moved:
    *_, end = moved
    assert isinstance(end, moving.Moved)
    return end


def test_mail_is_moved_while_it_is_read_and_written_and_the_old_store_is_empty_after_a_sweep(
    stores: TwoStores, use: Use, tmp_path: Path
) -> None:
    assert all_are_read()
    steps = moving.move(stores)
    next(steps)
    (new,) = raw_store.save_batch([b"new"])
    assert all_are_read() and raw_store.open_raw(new) == b"new"
    moved = last(steps)
    assert (moved.segments, moved.messages, moved.size, moved.left) == (3, 6, sum(map(len, RAWS)), [])
    assert moving.left_in(stores) == 0
    for path in (tmp_path / "old").rglob("*.seg"):
        os.utime(path, (0, 0))  # mail of long ago
    sweeping.sweep(timezone.now())
    assert not list((tmp_path / "old").rglob("*.seg"))
    use("new", "")
    assert all_are_read() and raw_store.open_raw(new) == b"new"


def test_a_host_that_still_writes_to_the_old_store_is_read_and_moved_by_the_next_run(
    stores: TwoStores, use: Use
) -> None:
    last(moving.move(stores))
    use("old", "new")
    (late,) = raw_store.save_batch([b"late"])
    assert all_are_read()
    stores = use("new", "old")
    assert raw_store.open_raw(late) == b"late" and moving.left_in(stores) == 1
    assert last(moving.move(stores)).messages == 1
    use("new", "")
    assert raw_store.open_raw(late) == b"late" and all_are_read()


@pytest.mark.parametrize("place", ["TwoStores.present.open", "moving.transaction.atomic"])
def test_a_mover_that_is_killed_between_the_copy_and_its_rows_goes_on_and_what_it_left_is_swept(
    stores: TwoStores, use: Use, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Killed(BaseException): ...

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    steps = moving.move(stores)
    next(steps)
    with monkeypatch.context() as patch:
        patch.setattr(stores.present if "present" in place else moving.transaction, place.rpartition(".")[2], killed)
        with pytest.raises(Killed):
            next(steps)
    assert all_are_read()
    assert last(moving.move(stores)).segments == 2
    for path in tmp_path.rglob("*.seg"):
        os.utime(path, (0, 0))
    sweeping.sweep(timezone.now())
    assert len(list(tmp_path.rglob("*.seg"))) == 3
    use("new", "")
    assert all_are_read()


def test_two_movers_of_one_segment_leave_rows_that_name_one_copy(
    stores: TwoStores, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = stores.present.save

    def the_other_comes_first(*args: Any, **keywords: Any) -> str:
        monkeypatch.setattr(stores.present, "save", save)
        last(moving.move(stores))
        return save(*args, **keywords)

    monkeypatch.setattr(stores.present, "save", the_other_comes_first)
    assert last(moving.move(stores)).messages == 0
    use("new", "")
    assert all_are_read()


def test_a_mover_that_slept_until_its_copy_was_swept_leaves_the_rows_where_they_were(
    stores: TwoStores, use: Use, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    atomic = moving.transaction.atomic

    def after_a_day(*args: Any, **keywords: Any) -> Any:
        monkeypatch.setattr(moving.transaction, "atomic", atomic)
        for path in (tmp_path / "new").rglob("*.seg"):
            os.utime(path, (0, 0))
        sweeping.sweep(timezone.now())
        return atomic(*args, **keywords)

    monkeypatch.setattr(moving.transaction, "atomic", after_a_day)
    moved = last(moving.move(stores))
    assert (moved.segments, len(moved.left)) == (2, 1) and moving.left_in(stores) == 1
    assert all_are_read()
    assert last(moving.move(stores)).segments == 1
    use("new", "")
    assert all_are_read()


def test_what_is_damaged_or_missing_is_named_and_stays_where_it_is(stores: TwoStores, tmp_path: Path, run: Run) -> None:
    first, second, third = sorted((tmp_path / "old").rglob("*.seg"), key=lambda path: path.read_bytes())
    first.write_bytes(b"MAIL 0mail 1")
    second.unlink()
    status, said = run("move_store")
    assert (status, said["ok"], said["data"]["messages"]) == (1, False, 3)
    assert said["error"] == {"code": "Storage", "message": "2 segments are left in the other store."}
    damaged = raw_store.digest_of(RAWS[0])
    named = [f"{damaged} in {first.relative_to(tmp_path / 'old')} is damaged"]
    named.append(f"{second.relative_to(tmp_path / 'old')} is in neither store")
    assert sorted(said["data"]["left"]) == sorted(named)
    assert first.exists() and RawMessage.objects.get(digest=damaged).segment == str(first.relative_to(tmp_path / "old"))
    assert raw_store.open_raw(raw_store.digest_of(RAWS[1])) == RAWS[1]
    assert third.exists()


def test_a_store_that_is_away_is_told(stores: TwoStores, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OSError("Stale file handle")

    monkeypatch.setattr(stores.present, "save", away)  # before anything was moved: nothing is waited for
    status, said = run("move_store")
    assert (status, said["error"]["code"]) == (1, "Storage")
    assert "Stale file handle. Run this again." in said["error"]["message"]
    with pytest.raises(raw_store.StorageError):
        raw_store.save_batch([b"new"])
    assert all_are_read()


def test_without_another_store_there_is_nothing_to_move_and_one_store_is_not_two(use: Use, run: Run) -> None:
    use("new", "")
    status, said = run("move_store")
    assert status == 1 and "PRX_EMAIL_RAW_ALSO_READ" in said["error"]["message"]
    with pytest.raises(SettingError, match="itself"):
        use("new", "new")


def test_while_the_old_store_is_mounted_read_only_its_mail_is_moved_and_the_hosts_work(
    use: Use, tmp_path: Path, run: Run
) -> None:
    """As a kernel leaves a disk that fails, or an administrator one that is being left."""
    try:
        with small_disk(tmp_path / "old", "1m") as disk:
            use("old", "")
            raw_store.save_batch(RAWS)
            stores = use("new", "old")
            shutil.rmtree(disk.path / installations.FOLDER, ignore_errors=True)
            subprocess.run(["mount", "-o", "remount,ro", disk.path], check=True)
            with pytest.raises(OSError, match="Read-only"):
                stores.other.delete("anything")
            assert store_check.is_usable(look_again=True)
            status, said = run("move_store")
            assert (status, said["data"]["messages"]) == (0, len(RAWS)) and all_are_read()
            swept = sweeping.sweep(timezone.now() + timedelta(days=2))  # it has no note of ours, and takes none
            assert swept == len(RAWS) and not RawMessage.objects.exists()
            assert StoreNote.objects.filter(is_ours=True).exists()
            assert stores.present.listdir(installations.FOLDER)[1] and not stores.other.exists(installations.FOLDER)
            assert list(stores.old_files(timezone.now() + timedelta(days=2))) == list(
                old_files(stores.other, timezone.now() + timedelta(days=2))
            )
    except NoSmallDisk as reason:
        pytest.skip(str(reason))
