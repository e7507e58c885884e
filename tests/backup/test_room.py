"""A backup and its proof leave the disk its reserve: a full disk stops the outbox. A real file system that fills up."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from mailbox.models import Account
from mailbox.storage import disk_budget
from prx_email_site.backup import databases, manifest, proving
from prx_email_site.backup.faults import NoRoom, ToolFailed
from tests.backup.made import NOW, made_in
from tests.servers.small_disk import NoSmallDisk, SmallDisk, small_disk

pytestmark = pytest.mark.django_db(transaction=True)
MIB = 1024 * 1024


@pytest.fixture
def disk(account: Account, tmp_path: Path, settings: Any) -> Iterator[SmallDisk]:
    """The data folder lies on a disk of 16 MiB, of which 6 are the reserve."""
    settings.DISK_RESERVE_BYTES = 6 * MIB
    try:
        with small_disk(tmp_path / "disk", "16m") as disk:
            settings.DATA_DIR = disk.path / "data"
            settings.DATA_DIR.mkdir()
            yield disk
    except NoSmallDisk as reason:
        pytest.skip(str(reason))


def test_a_backup_that_would_take_the_reserve_is_refused_and_leaves_nothing_and_another_disk_may_fill_up(
    disk: SmallDisk, tmp_path: Path
) -> None:
    (disk.path / "filler").write_bytes(bytes(11 * MIB))
    with pytest.raises(NoRoom, match="PRX_EMAIL_DISK_RESERVE_MB"):
        made_in(disk.path / "backups")
    assert [each.name for each in (disk.path / "backups").iterdir()] == ["backup.lock"]
    assert manifest.find(made_in(tmp_path / "elsewhere")).read().segments
    disk.free()
    assert manifest.find(made_in(disk.path / "backups")).read().segments


def test_a_proof_that_would_take_the_reserve_fails_by_name(
    disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = made_in(tmp_path / "backups")
    (disk.path / "filler").write_bytes(bytes(11 * MIB))
    monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
    proof = proving.prove(place, NOW)
    assert proof.fault == "NoRoom" and "TMPDIR" in proof.detail


def test_the_reserve_is_of_the_disks_to_which_mail_is_written(disk: SmallDisk, tmp_path: Path) -> None:
    assert not disk_budget.takes_reserve(disk.path / "a" / "b", MIB)
    assert disk_budget.takes_reserve(disk.path / "a" / "b", 11 * MIB)
    with small_disk(tmp_path / "other", "1m") as other:
        assert not disk_budget.takes_reserve(other.path, 11 * MIB)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="pg_dump says so itself")
def test_a_disk_that_is_full_is_a_fault_with_a_name(
    disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.fill()
    with pytest.raises(ToolFailed, match="full"):
        databases.dump(disk.path / "database")
    disk.free()
    databases.dump(tmp_path / "database")
    disk.fill()
    there = SimpleNamespace(vendor="sqlite", close=lambda: None, settings_dict={"NAME": disk.path / "new.sqlite3"})
    monkeypatch.setattr(databases, "connection", there)
    with pytest.raises(ToolFailed, match="cannot be loaded"):
        databases.load(tmp_path / "database")
    disk.free()
    odd = tmp_path / "100% of #1?"  # signs with a meaning in SQLite's URIs
    (tmp_path / "database").rename(odd)
    databases.load(odd)


def test_a_file_with_holes_takes_as_much_of_a_backup_as_it_is_long_which_is_asked_for_before(disk: SmallDisk) -> None:
    holes = disk.path / "data" / "attachments" / "sparse"
    holes.parent.mkdir()
    with holes.open("wb") as file:
        file.truncate(12 * MIB)
    with pytest.raises(NoRoom):
        made_in(disk.path / "backups")
    assert not list((disk.path / "backups" / "files").rglob("*"))
