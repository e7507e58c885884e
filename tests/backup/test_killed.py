"""Whatever a backup or a restore is doing when it is killed: no half one counts, and the next one goes on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.db import connection

from mailbox.models import Account, Message, RawMessage
from mailbox.storage.durable_files import raw_storage
from mailbox.storage.raw_store import open_raw
from outbox.models import OutboxMessage, SendingSwitch
from prx_email_site.backup import databases, destinations, making, manifest, restoring, unfinished
from prx_email_site.local_files import scratch_folders
from tests.backup import killed
from tests.backup.made import NOW
from tests.rows import letter, store

pytestmark = pytest.mark.django_db(transaction=True)
PARTS = 16  # of all steps, each of which takes about a second, a test takes one
LATER = NOW + timedelta(hours=1)


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(scratch_folders, "SETTLED_SECONDS", -1)
    yield folder


def is_whole(backup: manifest.Backup) -> None:
    stated = backup.read()
    restoring.check_dump(backup, stated)
    restoring.check_files(backup, stated)
    for each in stated.segments:
        restoring.check_segment(backup, each)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path): path.read_bytes() for path in files if not path.name.startswith(connection.vendor)}


@pytest.mark.in_part(PARTS + 1)  # one of each kind
@pytest.mark.parametrize("first", range(1, PARTS + 1))
@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_backup_that_is_killed_at_any_step_is_whole_or_none_and_leaves_nothing_behind(
    account: Account, tmp_path: Path, temporary_folder: Path, settings: Any, is_encrypted: bool, first: int
) -> None:
    identity = pyrage.x25519.Identity.generate()
    key = tmp_path / "key.txt"
    key.write_text(str(identity))
    recipients = [str(identity.to_public())] if is_encrypted else []

    def back_up(folder: Path, now: Any = LATER) -> manifest.Backup:
        return making.make(destinations.at(folder), now, recipients)

    back_up(tmp_path / "first", NOW)
    store(account, letter("Third"))
    counts, files = databases.content().counts, contents(settings.DATA_DIR)
    steps = killed.run(lambda: back_up(tmp_path / "counted"))
    assert steps > 15
    for last in range(first, steps + 1, PARTS):
        folder = tmp_path / f"at-{last}"
        shutil.copytree(tmp_path / "first", folder)
        killed.run(lambda folder=folder: back_up(folder), last)
        for each in manifest.complete_in(destinations.at(folder)):
            is_whole(manifest.find(folder / each.name, key))
        assert databases.content().counts == counts and contents(settings.DATA_DIR) == files
        made = back_up(folder)
        making.forget(destinations.at(folder), 1)
        is_whole(manifest.find(folder, key))
        scratch_folders.remove_left_ones()
        left = {path.name for path in folder.iterdir()} - {"backup.lock", made.name, "raw", "files"}
        assert {name[:3] for name in left} <= {"to-"} and list(temporary_folder.iterdir()) == []


def lose(settings: Any, tmp_path: Path, name: str) -> None:
    """Database and data folder are new ones."""
    Account.objects.all().delete()
    SendingSwitch.objects.all().delete()
    for segment in set(RawMessage.objects.values_list("segment", flat=True)):
        raw_storage().delete(segment)
    RawMessage.objects.all().delete()
    settings.DATA_DIR = tmp_path / f"data-{name}"


@pytest.mark.in_part(2 * PARTS)
@pytest.mark.parametrize("first", range(1, 2 * PARTS + 1))
def test_a_restore_that_is_killed_at_any_step_can_be_run_again_and_nothing_starts_meanwhile(
    place: Path, settings: Any, tmp_path: Path, temporary_folder: Path, first: int
) -> None:
    backup = manifest.find(place)
    wanted = sorted(RawMessage.objects.values_list("digest", flat=True))
    lose(settings, tmp_path, "counted")
    steps = killed.run(lambda: restoring.restore(backup, NOW))
    assert steps > 20
    for last in range(first, steps + 1, 2 * PARTS):
        lose(settings, tmp_path, str(last))
        killed.run(lambda: restoring.restore(backup, NOW), last)
        is_there = "accounts" in connection.introspection.table_names() and Account.objects.exists()
        is_asked = is_there and OutboxMessage.objects.needs_decision().exists()
        if is_there and not is_asked:
            assert unfinished.no_restore_is_unfinished(), "workers would start"
        if not is_there or unfinished.what():
            restoring.restore(backup, NOW)
        assert unfinished.what() == "" and SendingSwitch.objects.get().paused_at is not None
        assert OutboxMessage.objects.get().hold == "uncertain" and Message.objects.count() == 2
        assert sorted(RawMessage.objects.values_list("digest", flat=True)) == wanted
        assert all(open_raw(digest) for digest in wanted)
        assert (settings.DATA_DIR / "locale" / "de.po").read_text() == "words of our own"
        assert list(temporary_folder.iterdir()) == []
