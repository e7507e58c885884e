"""A backup that is restored onto the store of the site whose backup it is: neither removes what the other has. And two
installations do not back up into one place."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.fernet import Fernet
from django.utils import timezone

from mailbox.models import Account, RawMessage, StoreNote
from mailbox.storage import installations, raw_store, sweeping
from mailbox.storage.durable_files import raw_storage
from prx_email_site.backup import destinations, making, manifest, restoring
from prx_email_site.backup.faults import BackupFault
from prx_email_site.settings import raw_store as raw_store_settings
from tests.backup import killed
from tests.backup.made import NOW

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def put_raw(settings: Any, tmp_path: Path) -> Callable[[str], None]:
    """put_raw(name): the raw store is this folder from now on."""

    def put(name: str) -> None:
        raw = {"BACKEND": raw_store_settings.FILES, "OPTIONS": {"location": str(tmp_path / name)}}
        settings.STORAGES = {**settings.STORAGES, "raw": raw}

    put("raw")
    return put


def swept(days: int) -> int:
    return sweeping.sweep(timezone.now() + timedelta(days=days))


def test_after_a_restore_onto_the_store_of_before_neither_site_sweeps_until_a_person_says_that_one_is_gone(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (late,) = raw_store.save_batch([b"since the backup"])
    segment = RawMessage.objects.get(digest=late).segment
    installations.note(timezone.now())
    of_before = list(StoreNote.objects.all())
    Account.objects.all().delete()
    restoring.restore(manifest.find(place), NOW)
    assert (swept(2), swept(4), raw_storage().exists(segment)) == (0, 0, True)
    of_restored = list(StoreNote.objects.all())

    StoreNote.objects.all().delete()
    StoreNote.objects.bulk_create(each for each in of_before if each.is_ours)
    assert (swept(6), StoreNote.objects.filter(is_ours=False).count()) == (0, 1)  # the old site, which runs on

    StoreNote.objects.all().delete()
    StoreNote.objects.bulk_create(of_restored)
    monkeypatch.setattr(installations, "RUNNING", timedelta(0))
    (theirs,) = installations.note(timezone.now())
    installations.forget(theirs.name, timezone.now())
    swept(8)
    assert not raw_storage().exists(segment)


def test_onto_a_store_of_its_own_a_restored_site_sweeps(place: Path, put_raw: Callable[[str], None]) -> None:
    Account.objects.all().delete()
    put_raw("another")
    restoring.restore(manifest.find(place), NOW)
    raw_store.save_batch([b"forgotten"])
    assert swept(2) >= 1
    assert not StoreNote.objects.filter(is_ours=False).exists()


@pytest.mark.processes
def test_a_restore_that_was_killed_and_run_again_is_no_other_installation(
    place: Path, put_raw: Callable[[str], None], tmp_path: Path
) -> None:
    Account.objects.all().delete()
    put_raw("another")
    backup = manifest.find(place)
    assert killed.run(lambda: restoring.restore(backup, NOW), 12) == 0
    assert len(list((tmp_path / "another" / installations.FOLDER).iterdir())) == 1
    restoring.restore(backup, NOW)
    assert installations.note(timezone.now()) == []


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_place_with_backups_of_another_installation_is_refused(
    account: Account, tmp_path: Path, settings: Any, is_encrypted: bool
) -> None:
    recipients = [str(pyrage.x25519.Identity.generate().to_public())] if is_encrypted else []
    store, ours = destinations.at(tmp_path / "backups"), settings.ENCRYPTION_KEYS
    making.make(store, NOW, recipients)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(BackupFault, match="another installation"):
        making.make(store, NOW + timedelta(days=1), recipients)
    assert len(manifest.complete_in(store)) == 1
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *ours]  # the key was rotated
    making.make(store, NOW + timedelta(days=1), recipients)


def test_an_encrypted_backup_of_before_that_names_no_keys_stops_no_later_one(
    account: Account, tmp_path: Path, settings: Any
) -> None:
    recipients, store = [str(pyrage.x25519.Identity.generate().to_public())], destinations.at(tmp_path / "backups")
    path = Path(str(making.make(store, NOW, recipients)), manifest.FILE_NAME)
    said = json.loads(path.read_text())
    del said["keys"]
    path.write_text(json.dumps(said))
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    making.make(store, NOW + timedelta(days=1), recipients)
