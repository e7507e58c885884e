"""A backup is proven, and each thing that can be wrong with one is called by its name."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection
from django.test import Client

from alerts.models import Kind
from alerts.problems import installation
from mailbox.models import Account, RawMessage, RestoreProof
from mailbox.storage.durable_files import raw_storage
from outbox.models import OutboxMessage, SendingSwitch
from prx_email_site.backup import databases, destinations, looking_through, making, manifest, proving, restoring
from prx_email_site.backup.faults import BackupFault, SegmentDamaged, WrongKey
from prx_email_site.local_files.scratch_folders import LOCK
from tests.backup.made import NOW, changed, cut, flip, made_in, only_file, segment_of

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.mark.parametrize("field", ["segments", "files"])
@pytest.mark.parametrize("outside", ["../outside", "raw/../../outside", "{elsewhere}/outside"])
def test_a_backup_whose_names_lead_elsewhere_writes_nothing_there(
    place: Path, tmp_path: Path, field: str, outside: str
) -> None:
    """Whoever can write into the folder or bucket of backups could else have a restore write any file of the host."""
    stated = getattr(manifest.find(place).read(), field)
    moved = asdict(stated[0]) | {"path": outside.format(elsewhere=tmp_path)}
    changed(place, **{field: [moved, *map(asdict, stated[1:])]})
    assert proving.prove(place, NOW).fault == "NoBackup"
    with pytest.raises(BackupFault, match="leads out of"):
        restoring.restore(manifest.find(place), NOW)
    assert not list(tmp_path.rglob("outside"))


def test_a_backup_is_proven_beside_the_running_database(
    place: Path, as_in_production: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, run, beside = RawMessage.objects.count(), subprocess.run, []

    def look(command: list[str], **options: Any) -> Any:
        beside.extend(path.name for path in Path(options["env"]["PRX_EMAIL_DATA_DIR"]).rglob("*"))
        return run(command, **options)

    monkeypatch.setattr(proving.subprocess, "run", look)
    proof = proving.prove(place.parent, NOW)
    assert (proof.fault, proof.detail) == ("", "")
    assert sorted(beside) == sorted([LOCK, looking_through.SCRATCH])  # no key: it would stay there after a kill
    assert (proof.messages, proof.missing) == (before, 0)
    assert RestoreProof.objects.get().backup_at == NOW
    assert OutboxMessage.objects.get().status == "pending" and not SendingSwitch.objects.exists()  # ours goes on


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's scratch database is a file of a folder.")
def test_scratch_databases_are_dropped_also_those_of_a_killed_process(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under names of its own: other tests prove on the same server at this moment, and theirs are old by this clock."""
    monkeypatch.setattr(databases, "SCRATCH_PREFIX", f"prx_email_dropped_{secrets.token_hex(6)}_")

    def exists(name: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [name])
            return cursor.fetchone() == (1,)

    killed = databases.scratch_database(NOW)
    left = killed.__enter__()
    with databases.scratch_database(NOW + timedelta(hours=20)) as beside:
        assert exists(left) and exists(beside)
    assert exists(left) and not exists(beside)
    with databases.scratch_database(NOW + timedelta(days=2)) as later:
        assert not exists(left) and exists(later)
    assert not exists(later)


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
    making.make(destinations.at(place.parent), NOW + timedelta(hours=1))
    assert proving.prove(place, NOW).fault == ""  # the next backup copied it anew


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
    RestoreProof.note(RestoreProof(proven_at=NOW, backup_at=NOW - timedelta(days=8)))  # backups stopped, proofs go on
    (problem,) = [each for each in installation.find(NOW) if each.kind == Kind.RESTORE]
    assert problem.key == "restore:old" and f"{NOW - timedelta(days=8):%Y-%m-%d}" in problem.sentence
    RestoreProof.note(RestoreProof(proven_at=NOW, fault="WrongKey", detail="WrongKey: none opens them.", missing=3))
    assert found(NOW) == ["restore:failed"]
    assert "WrongKey" in client.get("/").content.decode()
