"""A backup that is encrypted for a public key: the private one alone opens it, and the next copies only what is new."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command

from mailbox.models import Account, RawMessage
from mailbox.storage.durable_files import raw_storage
from prx_email_site.backup import destinations, making, manifest, proving, restoring
from prx_email_site.backup.faults import BackupFault, NoIdentity, WrongIdentity
from tests.backup.made import NOW, cut, flip
from tests.rows import letter, store

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return new_key(tmp_path / "identity.txt")


def new_key(path: Path) -> Path:
    """As age-keygen writes it."""
    made = pyrage.x25519.Identity.generate()
    path.write_text(f"# created: 2026-11-29\n# public key: {made.to_public()}\n{made}\n")
    return path


def public(key: Path) -> str:
    return key.read_text().partition("public key: ")[2].partition("\n")[0]


@pytest.fixture
def place(account: Account, tmp_path: Path, key: Path) -> Path:
    return Path(str(making.make(destinations.at(tmp_path / "backups"), NOW, [public(key)])))


def segments(place: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in place.parent.rglob("*.seg")}


def test_nothing_of_it_can_be_read_without_the_key_and_all_of_it_with_it(
    place: Path, key: Path, as_in_production: None, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in place.parent.rglob("*"):
        if path.is_file() and path.name not in (manifest.FILE_NAME, "backup.lock"):
            assert path.read_bytes().startswith(b"age-encryption.org/v1\n"), path
    listed = (place / manifest.FILE_NAME).read_text()
    assert "de.po" not in listed and "messages" not in listed and settings.ENCRYPTION_KEYS[0] not in listed
    call_command("prove", place.parent, "--identity", key, "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["messages"], said["missing"]) == (True, RawMessage.objects.count(), 0)
    backup = manifest.find(place, key)
    assert [each.path for each in backup.read().files] == ["locale/de.po"]
    assert backup.read().counts["messages"] == 2


FAULTS: dict[str, Callable[[Path], object]] = {
    "DumpTruncated": lambda place: cut(place / "database"),
    "DumpDamaged": lambda place: flip(place / "database"),
    "SegmentMissing": lambda place: next(iter(segments(place))).unlink(),
    "SegmentDamaged": lambda place: cut(next(iter(segments(place)))),
    "NoBackup": lambda place: cut(place / manifest.SEALED_NAME),
    "WrongIdentity": lambda place: new_key(place.parent.parent / "identity.txt"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_with_it_has_a_name_and_changes_nothing(
    place: Path, key: Path, as_in_production: None, name: str
) -> None:
    FAULTS[name](place)
    assert proving.prove(place, NOW, key).fault == name
    with pytest.raises(BackupFault) as refused:
        restoring.restore(manifest.find(place, key), NOW)
    assert type(refused.value).__name__ == name
    assert Account.objects.get().email == "ops@example.com"


def test_without_a_key_it_says_which_one_opens_it(place: Path, key: Path, tmp_path: Path) -> None:
    assert proving.prove(place, NOW).fault == "NoIdentity"
    with pytest.raises(NoIdentity, match=public(key)):
        manifest.find(place).read()
    (tmp_path / "words.txt").write_text("no key at all\n")
    with pytest.raises(WrongIdentity, match="no private key"):
        manifest.find(place, tmp_path / "words.txt").read()
    with pytest.raises(WrongIdentity, match="nowhere"):
        manifest.find(place, tmp_path / "nowhere").read()
    with pytest.raises(CommandError, match="no public key"):
        call_command("backup", place.parent, "--encrypt-to", "age1nonsense")


def test_the_next_one_copies_only_what_is_new_and_another_recipient_gets_all_of_it(
    place: Path, account: Account, key: Path, tmp_path: Path
) -> None:
    before, files = segments(place), list(place.parent.glob("to-*/files/*"))
    store(account, letter("Third"))
    call_command("backup", place.parent, "--encrypt-to", public(key), "--keep", "1")
    after = segments(place)
    assert len(after) == len(before) + 1 and before.items() <= after.items()
    assert list(place.parent.glob("to-*/files/*")) == files and len(files) == 1
    assert not place.exists()  # of which --keep 1 left nothing but what the second one names
    backup = manifest.find(place.parent, key)
    for each in backup.read().segments:
        restoring.check_segment(backup, each)
    other = new_key(tmp_path / "other.txt")
    making.make(destinations.at(place.parent), NOW + timedelta(hours=2), [public(other), public(key)])
    assert len(segments(place)) == 2 * len(after)
    making.make(destinations.at(place.parent), NOW + timedelta(hours=3))  # and one that is not encrypted
    for each in manifest.complete_in(destinations.at(place.parent)):
        opens = {0: None, 1: key, 2: other}[len(each.listing.recipients)]
        restoring.check_dump(each, manifest.find(str(each), opens).read())
        restoring.check_files(each, manifest.find(str(each), opens).read())


def test_a_segment_is_put_back_as_it_was_and_one_of_an_interrupted_restore_is_not_written_again(
    place: Path, key: Path
) -> None:
    backup, storage = manifest.find(place, key), raw_storage()
    stated = backup.read().segments[0]
    path = Path(storage.path(stated.path))
    raw = path.read_bytes()
    written = path.stat().st_mtime_ns
    restoring._put_segment(backup, stated)
    assert path.stat().st_mtime_ns == written
    storage.delete(stated.path)
    storage.save(stated.path, ContentFile(raw[:-1]))
    restoring._put_segment(backup, stated)
    assert path.read_bytes() == raw


def test_each_file_is_one_that_age_itself_opens(place: Path, key: Path) -> None:
    opened = io.BytesIO()
    with (place / "database").open("rb") as file:
        pyrage.decrypt_io(file, opened, [pyrage.x25519.Identity.from_str(key.read_text().split()[-1])])
    assert opened.getvalue().startswith((b"SQLite format 3\x00", b"PGDMP"))


def test_a_key_of_ssh_opens_it_too(account: Account, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    coding, kinds = serialization.Encoding, serialization.PrivateFormat
    path = tmp_path / "id_ed25519"
    path.write_bytes(private.private_bytes(coding.PEM, kinds.OpenSSH, serialization.NoEncryption()))
    shown = private.public_key().public_bytes(coding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    backup = making.make(destinations.at(tmp_path / "backups"), NOW, [shown])
    assert manifest.find(str(backup), path).read().counts["messages"] == 2


def test_the_copy_of_the_database_never_lies_unencrypted_where_the_backups_do(
    account: Account, tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    dump = making.databases.dump

    def noted(to: Path) -> Any:
        folders.append(to.parent)
        return dump(to)

    monkeypatch.setattr(making.databases, "dump", noted)
    making.make(destinations.at(tmp_path / "backups"), NOW, [public(key)])
    (folder,) = folders
    assert not folder.is_relative_to(tmp_path / "backups") and not folder.exists()
