"""A backup restores, and each thing that can be wrong with one is called by its name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from alerts.models import Kind
from alerts.problems import installation
from mailbox.models import Account, RawMessage, RestoreProof
from mailbox.storage.durable_files import raw_storage
from mailbox.storage.raw_store import open_raw
from outbox.models import OutboxMessage, SendingSwitch
from prx_email_site.backup import looking_through, making, manifest, places, proving, restoring
from prx_email_site.backup.faults import BackupFault, NoBackup, NotEmpty, SegmentDamaged, WrongKey
from prx_email_site.settings import raw_store as raw_store_settings
from tests.rows import NOWHERE, letter, outbox_row, store
from tests.servers.site import ROOT, database_url

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now().replace(microsecond=0)


@pytest.fixture
def account(make_account: Callable[..., Account], settings: Any, tmp_path: Path) -> Account:
    """Mail received and mail to send, in a data folder of the test's own."""
    settings.DATA_DIR = tmp_path / "data"
    (settings.DATA_DIR / "locale").mkdir(parents=True)
    (settings.DATA_DIR / "locale" / "de.po").write_text("words of our own")
    account = make_account("ops@example.com", **NOWHERE)
    store(account, letter("First"))
    store(account, letter("Second"))
    outbox_row(account, "Waits")
    return account


@pytest.fixture
def place(account: Account, tmp_path: Path) -> Path:
    return made_in(tmp_path / "backups")


def made_in(folder: Path, now: datetime = NOW) -> Path:
    return Path(str(making.make(places.at(folder), now)))


@pytest.fixture
def as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scratch process reads its settings from the environment, as one of an operator does."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "prx_email_site.settings")
    monkeypatch.setenv("DATABASE_URL", database_url())


def segment_of(place: Path) -> Path:
    return place.parent / "raw" / manifest.find(place).read().segments[0].path


def changed(place: Path, **fields: Any) -> None:
    path = place / manifest.FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def only_file(place: Path) -> str:
    (file,) = manifest.find(place).read().files
    return file.sha256


FAULTS: dict[str, Callable[[Path], object]] = {
    "DumpTruncated": lambda place: cut(place / "database"),
    "DumpDamaged": lambda place: flip(place / "database"),
    "SegmentMissing": lambda place: segment_of(place).unlink(),
    "SegmentDamaged": lambda place: flip(place.parent / "files" / only_file(place)),
    "NewerSchema": lambda place: changed(place, migrations=["mailbox.9999_of_a_newer_release"]),
    "OtherDatabase": lambda place: changed(place, engine="oracle"),
    "NoBackup": lambda place: cut(place / manifest.FILE_NAME),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_with_a_backup_has_a_name_and_changes_nothing(place: Path, name: str) -> None:
    FAULTS[name](place)
    assert proving.prove(place, NOW).fault == name
    with pytest.raises(BackupFault) as refused:
        restoring.restore(manifest.find(place), NOW)
    assert type(refused.value).__name__ == name
    assert Account.objects.get().email == "ops@example.com" and not SendingSwitch.objects.exists()


def test_a_backup_is_proven_beside_the_running_database(place: Path, as_in_production: None) -> None:
    before = RawMessage.objects.count()
    proof = proving.prove(place.parent, NOW)
    assert (proof.fault, proof.detail) == ("", "")
    assert (proof.messages, proof.missing) == (before, 0)
    assert RestoreProof.objects.get().backup_at == NOW
    assert OutboxMessage.objects.get().status == "pending" and not SendingSwitch.objects.exists()  # ours goes on
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'prx_email_proof%'")
            assert cursor.fetchone() == (0,)


def test_secrets_that_no_key_opens_are_the_wrong_key(place: Path, settings: Any) -> None:
    other = Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [other]
    assert proving.prove(place, NOW).fault == "WrongKey"
    with pytest.raises(WrongKey, match="0 of"):  # even where the manifest does not say so
        looking_through.open_secrets()


def test_bytes_that_were_damaged_before_they_were_copied_are_counted(account: Account, tmp_path: Path) -> None:
    lost = RawMessage.objects.order_by("segment")[0]
    path = Path(raw_storage().path(lost.segment))
    flip(path)
    try:
        backup = manifest.find(made_in(tmp_path / "backups"))
    finally:
        flip(path)
    count, missing = looking_through.read_all(backup, backup.read())
    assert count == RawMessage.objects.count() and len(missing) == 1
    assert lost.digest in missing[0] and "damaged" in missing[0]


def test_a_segment_whose_bytes_changed_in_the_backup_is_named_before_anything_is_restored(
    place: Path, as_in_production: None
) -> None:
    flip(segment_of(place))
    assert proving.prove(place, NOW).fault == "SegmentDamaged"
    with pytest.raises(SegmentDamaged):
        restoring.restore(manifest.find(place), NOW)
    segment_of(place).unlink()
    making.make(places.at(place.parent), NOW + timedelta(hours=1))
    assert proving.prove(place, NOW).fault == ""  # the next backup copied it anew


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
    making.forget(places.at(folder), 1)
    left = {path.name for path in folder.iterdir()}
    assert left == {place.name, "raw", "files", "backup.lock", "of-somebody.txt"}
    for each in manifest.find(place).read().segments:
        restoring.check_segment(manifest.find(place), each)


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
        "assert OutboxMessage.objects.get().status == 'pending'\n"
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
    making.forget(places.at(place.parent), 1)
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


def test_a_pg_restore_that_is_newer_than_the_server_is_said(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warned(folder: str) -> bool:
        call_command("backup", tmp_path / folder, "--json")
        out, err = capsys.readouterr()
        said = json.loads(out)
        assert said["ok"] and said["warning"] in err
        return "PostgreSQL 99" in said["warning"]

    assert not warned("first")
    tool = tmp_path / "tools" / "pg_restore"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'pg_restore (PostgreSQL) 99.1 (Debian 99.1-1)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    assert warned("second") is (connection.vendor == "postgresql")


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


def test_the_dashboard_and_an_incident_say_when_a_restore_was_last_proven(
    account: Account, make_user: Callable[..., Any], client: Client
) -> None:
    def found(now: datetime) -> list[str]:
        return [each.key for each in installation.find(now) if each.kind == Kind.RESTORE]

    client.force_login(make_user("administrator"))
    assert found(NOW) == [] and "proven" not in client.get("/").content.decode()  # never tried: nobody is alarmed
    RestoreProof.note(RestoreProof(proven_at=NOW - timedelta(days=2), backup_at=NOW, messages=7))
    assert found(NOW) == []
    page = client.get("/").content.decode()
    assert "Last proven restore" in page and "0 missing" in page
    assert found(NOW + timedelta(days=6)) == ["restore:old"]
    RestoreProof.note(RestoreProof(proven_at=NOW, fault="WrongKey", detail="WrongKey: none opens them.", missing=3))
    assert found(NOW) == ["restore:failed"]
    assert "WrongKey" in client.get("/").content.decode()
