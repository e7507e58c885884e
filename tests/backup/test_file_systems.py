"""Backups onto and from disks that are read-only, others, or reached by links; each succeeds or says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from mailbox.models import Account
from prx_email_site.backup import manifest, proving, restoring, unfinished
from prx_email_site.backup.faults import BackupFault, NoBackup, NotEmpty
from tests.backup.made import NOW, made_in
from tests.servers.ports import free_ports, wait_until
from tests.servers.site import ROOT, Cluster
from tests.servers.small_disk import NoSmallDisk, SmallDisk, disk, small_disk

__all__ = ["disk"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_backup_onto_a_read_only_disk_says_so_and_what_is_there_stays(
    account: Account, disk: SmallDisk, as_in_production: None
) -> None:
    made_in(disk.path / "backups")
    before = sorted(disk.path.rglob("*"))
    disk.allow_writing(allowed=False)
    for name in ("backups", "others"):
        with pytest.raises(CommandError, match="Read-only file system"):
            call_command("backup", disk.path / name)
    assert proving.prove(disk.path / "backups", NOW).fault == ""
    disk.allow_writing(allowed=True)
    assert sorted(disk.path.rglob("*")) == before
    call_command("backup", disk.path / "backups")


@pytest.mark.parametrize("name", ["there", "missing"])
def test_a_restore_onto_a_read_only_disk_says_so_before_it_changes_anything(
    place: Path, disk: SmallDisk, settings: Any, name: str
) -> None:
    Account.objects.all().delete()
    (disk.path / "there").mkdir()
    settings.DATA_DIR = disk.path / name
    disk.allow_writing(allowed=False)
    with pytest.raises(CommandError, match="Read-only file system"):
        call_command("restore", place)
    assert not Account.objects.exists() and unfinished.what() == ""
    disk.allow_writing(allowed=True)
    call_command("restore", place)
    assert Account.objects.exists()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's database is no file of the data folder")
def test_into_a_data_folder_that_is_not_there_a_backup_is_restored(place: Path, tmp_path: Path, settings: Any) -> None:
    """On a new machine whose keys are in its environment nothing has made the folder. Here it is a link to nowhere."""
    (tmp_path / "link").symlink_to(tmp_path / "new" / "disk")
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | {
        "PRX_EMAIL_DATA_DIR": str(tmp_path / "link"),
        "PRX_EMAIL_ENCRYPTION_KEYS": ",".join(settings.ENCRYPTION_KEYS),
        "PRX_EMAIL_SECRET_KEY": "s" * 60,
        "DJANGO_SETTINGS_MODULE": "prx_email_site.settings",
    }
    restored = subprocess.run(
        [sys.executable, "manage.py", "restore", str(place), "--json"], cwd=ROOT, env=environment, capture_output=True
    )
    assert (restored.returncode, restored.stdout[:12]) == (0, b'{"ok": true,'), restored
    assert list((tmp_path / "new" / "disk" / "raw").rglob("*.seg"))


def test_stored_mail_of_the_backups_may_be_another_disk_mounted_there(
    account: Account, tmp_path: Path, as_in_production: None
) -> None:
    (tmp_path / "backups").mkdir()
    try:
        with small_disk(tmp_path / "backups" / "raw", "16m"):
            made_in(tmp_path / "backups")
            draft = tmp_path / "backups" / "raw" / "draft-of-a-killed-one"
            draft.write_bytes(b"half")
            made_in(tmp_path / "backups", NOW + timedelta(hours=1))
            assert not draft.exists()
            assert proving.prove(tmp_path / "backups", NOW).fault == ""
    except NoSmallDisk as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", ["raw", "files"])
def test_a_part_of_the_backups_that_is_a_link_is_refused_and_the_whole_may_be_one(
    account: Account, disk: SmallDisk, tmp_path: Path, as_in_production: None, name: str
) -> None:
    """What lies behind the link would be missing in each listing, and it may be the raw store itself."""
    theirs = disk.path / "raw"
    theirs.mkdir()
    (theirs / "mail.seg").write_bytes(b"somebody's mail")
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / name).symlink_to(theirs)
    with pytest.raises(BackupFault, match="symbolic link"):
        made_in(tmp_path / "backups")
    with pytest.raises(NoBackup):
        manifest.find(tmp_path / "backups")
    assert [each.name for each in theirs.iterdir()] == ["mail.seg"]
    (tmp_path / "whole").symlink_to(disk.path / "backups")
    made_in(tmp_path / "whole")
    assert proving.prove(tmp_path / "whole", NOW).fault == ""


@pytest.mark.processes
@pytest.mark.parametrize("role", ["web", "workers"])
def test_nothing_is_restored_beside_processes_that_run_and_it_is_once_they_were_killed(
    place: Path, tmp_path: Path, role: str
) -> None:
    Account.objects.all().delete()
    (port,) = free_ports(1)
    web = ("-m", "gunicorn", "prx_email_site.wsgi", "--bind", f"127.0.0.1:{port}", "--no-control-socket")
    cluster = Cluster(tmp_path / "log", command=web if role == "web" else ("manage.py", "qcluster"))

    def is_refused() -> bool:
        try:
            restoring.refuse_if_used(NOW)
        except NotEmpty:
            return True
        return False

    try:
        wait_until(is_refused, seconds=60, what=f"the heartbeat of {role}")
        with pytest.raises(CommandError, match=f"The site runs with this database .{role} on"):
            call_command("restore", place)
        assert not Account.objects.exists()
    finally:
        cluster.kill()
    wait_until(lambda: not is_refused(), seconds=60, what="the end of what was killed")  # its orphans die later
    call_command("restore", place)
    assert Account.objects.exists()
