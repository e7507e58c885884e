"""A backup is whole, holds what was there and no key, and restores."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from mailbox.models import Account, RawMessage
from mailbox.storage.durable_files import raw_storage
from mailbox.storage.raw_store import open_raw
from prx_email_site.backup import destinations, making, manifest, restoring
from prx_email_site.backup.faults import NoBackup, NotEmpty
from prx_email_site.backup.stores import FolderStore
from prx_email_site.settings import raw_store as raw_store_settings
from tests.backup.made import NOW, cut, made_in
from tests.rows import NOWHERE, letter, store
from tests.servers.site import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_an_interrupted_backup_copied_is_not_copied_again_and_what_it_left_goes(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    with monkeypatch.context() as patch:
        patch.setattr(manifest.Backup, "write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made_in(folder)
    with pytest.raises(NoBackup):
        manifest.find(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.seg")}
    place = made_in(folder, NOW + timedelta(hours=1))
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.seg")} and len(before) > 2
    (folder / "of-somebody.txt").write_text("stays")
    making.forget(destinations.at(folder), 1)
    left = {path.name for path in folder.iterdir()}
    assert left == {place.name, "raw", "files", "backup.lock", "of-somebody.txt"}
    for each in manifest.find(place).read().segments:
        restoring.check_segment(manifest.find(place), each)


class Killing(io.BytesIO):
    """A file whose reader is killed after the first piece."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(10) if self.tell() == 0 else os.kill(os.getpid(), signal.SIGKILL) or b""


def test_half_a_file_of_a_killed_backup_goes_with_the_next_one(tmp_path: Path) -> None:
    there = FolderStore(tmp_path)
    if (child := os.fork()) == 0:
        there.put("raw/1.seg", Killing(b"x" * 100), "1.seg")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert there.sizes(), "half of it is left"
    with there.alone():
        assert set(there.sizes()) == {"backup.lock"}


@pytest.mark.parametrize("name", ["", "raw/backups"])
def test_a_backup_into_the_raw_store_itself_is_refused(account: Account, settings: Any, name: str) -> None:
    """`--keep` removes from raw/ what no backup names: there it would be new mail."""
    raw = {"BACKEND": raw_store_settings.FILES, "OPTIONS": {"location": str(settings.DATA_DIR / "raw")}}
    settings.STORAGES = {**settings.STORAGES, "raw": raw}
    with pytest.raises(CommandError, match="one within the other"):
        call_command("backup", settings.DATA_DIR / name)
    assert not list(settings.DATA_DIR.rglob("manifest.json"))
    with pytest.raises(CommandError, match="empty"):
        call_command("backup", "")


def test_a_restored_installation_has_its_mail_and_waits_before_it_sends(
    place: Path, account: Account, tmp_path: Path, as_in_production: None, settings: Any
) -> None:
    digest = RawMessage.objects.first()
    with pytest.raises(NotEmpty):
        restoring.restore(manifest.find(place), NOW)  # here somebody works
    assert digest is not None
    raw = open_raw(digest.digest)
    if connection.vendor == "postgresql":
        pytest.skip("the proof above restores into a database of its own")
    new = tmp_path / "new"
    keys = tmp_path / "keys.txt"
    keys.write_text(",".join(settings.ENCRYPTION_KEYS))
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"PRX_EMAIL_DATA_DIR": str(new), "PRX_EMAIL_ENCRYPTION_KEYS_FILE": str(keys)}
    script = (
        "import django; django.setup()\n"
        "from django.core.management import call_command\n"
        f"call_command('restore', {str(place)!r}, '--json')\n"
        "from mailbox.storage.raw_store import open_raw\n"
        "from outbox.delivery import deliver\n"
        "from outbox.models import OutboxMessage, SendingSwitch\n"
        "from django.utils import timezone\n"
        f"assert open_raw({digest.digest!r}) == {raw!r}\n"
        "assert OutboxMessage.objects.get().hold == 'uncertain'\n"
        "assert 'restored from the backup' in SendingSwitch.objects.get().reason\n"
        "assert deliver.accounts_with_due_rows(timezone.now()) == []\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_a_second_backup_copies_only_what_is_new(place: Path, account: Account) -> None:
    times = {path: path.stat().st_mtime_ns for path in (place.parent / "raw").rglob("*.seg")}
    store(account, letter("Third"))
    second = made_in(place.parent, NOW + timedelta(hours=1))
    segments = {path: path.stat().st_mtime_ns for path in (place.parent / "raw").rglob("*.seg")}
    assert len(segments) == len(times) + 1 and times.items() <= segments.items()
    assert manifest.find(place.parent).name == second.name
    making.forget(destinations.at(place.parent), 1)
    assert not place.exists() and len(list((place.parent / "raw").rglob("*.seg"))) == len(segments)
    backup = manifest.find(second)
    restoring.check_dump(backup, backup.read())


def test_the_counts_are_those_of_the_copy_and_not_of_what_came_meanwhile(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail that is stored between the copy of the database and that of the segments is not in the backup."""
    copy_segments = making._copy_segments

    def after_another_mail(*arguments: Any) -> Any:
        store(account, letter("Meanwhile"))
        return copy_segments(*arguments)

    monkeypatch.setattr(making, "_copy_segments", after_another_mail)
    made = manifest.find(made_in(tmp_path / "backups")).read()
    assert made.counts["messages"] == 2
    assert len(made.segments) == made.counts["raw_messages"]  # one mail each here


def test_a_segment_that_is_swept_while_the_backup_runs_has_the_database_copied_anew(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = RawMessage.objects.order_by("segment")[0]
    copy_segments = making._copy_segments

    def after_the_sweep(*arguments: Any) -> Any:
        RawMessage.objects.filter(pk=swept.pk).delete()
        raw_storage().delete(swept.segment)
        return copy_segments(*arguments)

    monkeypatch.setattr(making, "_copy_segments", after_the_sweep)
    made = manifest.find(made_in(tmp_path / "backups")).read()
    assert swept.segment not in [each.path for each in made.segments] and made.missing == []


def test_a_segment_that_is_lost_is_named_and_the_rest_is_kept(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = RawMessage.objects.order_by("segment")[0].segment
    path = Path(raw_storage().path(lost))
    shutil.move(path, tmp_path / "away")
    try:
        with pytest.raises(SystemExit) as leaving:
            call_command("backup", tmp_path / "backups", "--json")
    finally:
        shutil.move(tmp_path / "away", path)
    said = json.loads(capsys.readouterr().out)
    assert (leaving.value.code, said["ok"], said["missing"]) == (1, False, [lost])
    assert said["error"]["code"] == "SegmentMissing" and lost in said["error"]["message"]


def test_the_keys_are_kept_apart_from_the_backup(account: Account, tmp_path: Path, settings: Any) -> None:
    (settings.DATA_DIR / "keys").mkdir()
    (settings.DATA_DIR / "keys" / "encryption_key").write_text(settings.ENCRYPTION_KEYS[0])
    (settings.DATA_DIR / "installation-abc").write_text("{}")
    folder, keys = tmp_path / "backups", tmp_path / "keys.env"
    call_command("backup", folder, "--keys", keys)
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert settings.ENCRYPTION_KEYS[0].encode() not in everything
    assert settings.ENCRYPTION_KEYS[0] in keys.read_text() and keys.stat().st_mode & 0o77 == 0
    assert [each.path for each in manifest.find(folder).read().files] == ["locale/de.po"]
    with pytest.raises(CommandError, match="apart"):
        call_command("backup", folder, "--keys", folder / "keys.env")


@pytest.mark.parametrize("name", ["prx.keys", "secrets/encryption_keys", "prx-email-draft-x/database"])
def test_what_has_a_key_in_it_and_what_is_a_copy_is_left_out_wherever_it_lies(
    account: Account, tmp_path: Path, settings: Any, name: str
) -> None:
    """A service that may write to its data folder alone has its `--keys`, its settings or its TMPDIR there."""
    path = settings.DATA_DIR / name
    path.parent.mkdir(exist_ok=True)
    if "database" in name:
        path.write_text("a copy of the whole database")
    else:
        call_command("backup", tmp_path / "first", "--keys", path)
    made_in(tmp_path / "backups", NOW + timedelta(hours=1))
    everything = b"".join(path.read_bytes() for path in (tmp_path / "backups").rglob("*") if path.is_file())
    assert settings.ENCRYPTION_KEYS[0].encode() not in everything and settings.SECRET_KEY.encode() not in everything
    assert [each.path for each in manifest.find(tmp_path / "backups").read().files] == ["locale/de.po"]


def test_a_backup_comes_after_those_that_a_clock_that_was_ahead_has_dated(account: Account, tmp_path: Path) -> None:
    folder, ahead = tmp_path / "backups", NOW + timedelta(days=400)
    made_in(folder, ahead)
    newest = [made_in(folder, NOW), made_in(folder, NOW)][-1]
    assert manifest.find(folder).name == newest.name and manifest.find(folder).read().made_at == NOW
    (folder / "99999999T999999Z").mkdir()
    (folder / "99999999T999999Z" / manifest.FILE_NAME).write_text("{}")  # no time
    assert manifest.find(folder).name == newest.name
    making.forget(destinations.at(folder), 1)
    assert [each.name for each in manifest.complete_in(destinations.at(folder))] == [newest.name]


def test_a_manifest_that_is_damaged_keeps_no_later_backup_from_being_made(place: Path) -> None:
    second = made_in(place.parent, NOW + timedelta(hours=1))
    before = {path: path.stat().st_mtime_ns for path in place.parent.rglob("*.seg")}
    cut(second / manifest.FILE_NAME)
    with pytest.raises(NoBackup):
        manifest.find(place.parent).read()
    third = made_in(place.parent, NOW + timedelta(hours=2))
    assert manifest.find(place.parent).read().segments == manifest.find(place).read().segments
    assert before == {path: path.stat().st_mtime_ns for path in place.parent.rglob("*.seg")}
    with pytest.raises(NoBackup, match=second.name):  # what it needs is not known: nothing is removed
        making.forget(destinations.at(place.parent), 2)
    making.forget(destinations.at(place.parent), 1)
    assert [each.name for each in manifest.complete_in(destinations.at(place.parent))] == [third.name]


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_segment_that_was_cut_in_the_raw_store_is_named_each_time_and_what_is_left_of_it_is_kept(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_encrypted: bool
) -> None:
    store(account, letter("Cut", text="x" * 60 + "\n" * 4000))
    segment = RawMessage.objects.order_by("-length")[0].segment
    cut(Path(raw_storage().path(segment)))
    options = ["--encrypt-to", str(pyrage.x25519.Identity.generate().to_public())] if is_encrypted else []
    for _ in range(2):
        with pytest.raises(SystemExit):
            call_command("backup", tmp_path / "backups", "--json", *options)
        said = json.loads(capsys.readouterr().out)
        assert (said["missing"], said["error"]["code"]) == ([segment], "SegmentMissing")
    assert list((tmp_path / "backups").rglob(Path(segment).name))


def test_a_backup_that_lacks_stored_mail_has_no_older_one_removed(account: Account, place: Path) -> None:
    """The older one has the last copy of it: the new one is for another recipient and shares no files with it."""
    for each in RawMessage.objects.all():
        Path(raw_storage().path(each.segment)).unlink(missing_ok=True)
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    with pytest.raises(CommandError, match="missing"):
        call_command("backup", place.parent, "--encrypt-to", recipient, "--keep", "1")
    for each in manifest.find(place).read().segments:
        restoring.check_segment(manifest.find(place), each)


def test_what_is_set_up_while_a_restore_copies_stored_mail_is_not_overwritten(
    place: Path, account: Account, make_account: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    account.delete()

    def set_up(*_: Any) -> None:
        if not Account.objects.exists():
            make_account("new@example.com", **NOWHERE)

    monkeypatch.setattr(restoring, "_put_segment", set_up)
    with pytest.raises(NotEmpty):
        restoring.restore(manifest.find(place), NOW)
    assert Account.objects.get().email == "new@example.com"


def test_what_another_process_removes_from_the_store_meanwhile_is_copied_again(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that was suspended for so long that the database forgot its lock, while another one kept the newest."""
    folder, copy, removed = tmp_path / "backups", making._copy_files, []

    def forgotten(*arguments: Any) -> Any:
        if not removed:
            removed.append(next(folder.rglob("*.seg")))
            removed[0].unlink()
        return copy(*arguments)

    monkeypatch.setattr(making, "_copy_files", forgotten)
    backup = manifest.find(made_in(folder))
    for each in backup.read().segments:
        restoring.check_segment(backup, each)
    assert removed[0].exists()
