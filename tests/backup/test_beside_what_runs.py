"""A backup and migrations do not meet, and nothing is restored over a site that runs."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone

from mailbox import logs
from mailbox.models import Account, ProcessHeartbeat
from prx_email_site import one_at_a_time
from prx_email_site.backup import databases, destinations, making, manifest, restoring, unfinished
from prx_email_site.backup.faults import BackupFault, NoBackup, NotEmpty, ToolFailed
from prx_email_site.management.commands import qcluster
from prx_email_site.workers import sentinel
from prx_email_site.workers.supervisor import Supervisor
from tests.backup.made import NOW, made_in
from tests.servers.small_disk import NoSmallDisk, small_disk

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_backup_waits_while_prepare_migrates(account: Account, settings: Any, tmp_path: Path) -> None:
    said, waits = list[str](), threading.Event()

    def say(words: str) -> None:
        said.append(words)
        waits.set()

    def back_up() -> None:
        making.make(destinations.at(tmp_path / "backups"), NOW, (), say)
        connections.close_all()

    thread = threading.Thread(target=back_up)
    with one_at_a_time.one_at_a_time(settings.DATA_DIR, print):
        thread.start()
        assert waits.wait(60)
        with pytest.raises(NoBackup):
            manifest.find(tmp_path / "backups")
    thread.join(60)
    assert "waiting for its end" in said[0] and manifest.find(tmp_path / "backups").read()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite copies all pages in one read")
def test_a_copy_in_which_a_migration_was_committed_counts_for_none(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = databases._run

    def run_and_migrate(*command: str) -> None:
        run(*command)
        with connections["default"].copy("another").cursor() as cursor:
            cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('mailbox', '9999_x', now())")

    monkeypatch.setattr(databases, "_run", run_and_migrate)
    try:
        with pytest.raises(ToolFailed, match="Migrations ran"):
            made_in(tmp_path / "backups")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '9999_x'")


def heartbeat(**fields: Any) -> None:
    now = timezone.now()
    times = {"started_at": now, "seen_at": now, "silent_at": now + timedelta(seconds=90)}
    ProcessHeartbeat.objects.create(
        release="1", python="3", **{"host": "web1", "role": "web", "pid": 7, **times, **fields}
    )


def test_a_database_that_processes_run_with_is_not_replaced(place: Path) -> None:
    Account.objects.all().delete()
    heartbeat()
    with pytest.raises(NotEmpty, match="web on web1/7"):
        restoring.restore(manifest.find(place), NOW)
    assert not Account.objects.exists() and unfinished.what() == ""
    ProcessHeartbeat.objects.all().delete()
    heartbeat(host=logs.this_host(), pid=2**22 + 1)  # no process has such a number: it has ended
    heartbeat(silent_at=NOW)
    restoring.restore(manifest.find(place), NOW)
    assert Account.objects.exists()


def test_workers_that_have_just_begun_are_not_overtaken_by_a_restore(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the command's first step on, and from the sentinel's on under its own number, before any task."""
    Account.objects.all().delete()

    def restore_meanwhile(*_: Any, **__: Any) -> int:
        with pytest.raises(NotEmpty, match=f"workers on {logs.this_host()}/{os.getpid()}"):
            restoring.restore(manifest.find(place), NOW)
        return 1

    monkeypatch.setattr(qcluster, "remove_left_ones", restore_meanwhile)
    monkeypatch.setattr(Supervisor, "run", restore_meanwhile)
    with pytest.raises(SystemExit):
        call_command("qcluster")
    ProcessHeartbeat.objects.update(pid=os.getppid())  # in the sentinel's process it is its parent's
    sentinel._take_over_heartbeat()
    restore_meanwhile()
    assert ProcessHeartbeat.objects.count() == 1


def test_two_restores_at_once_and_one_beside_prepare_are_refused(place: Path, settings: Any) -> None:
    Account.objects.all().delete()
    with one_at_a_time.one_at_a_time(settings.DATA_DIR, print), pytest.raises(BackupFault, match="at work"):
        restoring.restore(manifest.find(place), NOW)
    assert not Account.objects.exists()


def test_while_a_restore_is_unfinished_no_command_of_the_site_begins(place: Path, settings: Any) -> None:
    unfinished.begin(place)
    for command in ("prepare", "qcluster"):
        with pytest.raises(CommandError, match="restore again"):
            call_command(command, skip_checks=False)
    unfinished.end()


def test_a_disk_that_is_full_or_read_only_stops_a_restore_and_it_goes_on_when_there_is_room(
    place: Path, settings: Any, tmp_path: Path
) -> None:
    backup = manifest.find(place)
    Account.objects.all().delete()
    try:
        with small_disk(tmp_path / "disk", "2m") as disk:
            settings.DATA_DIR = disk.path / "data"
            settings.DATA_DIR.mkdir()
            disk.fill()
            with pytest.raises(CommandError, match="No space left"):
                call_command("restore", place)
            assert not Account.objects.exists()
            assert [path.name for path in settings.DATA_DIR.rglob("*") if path.is_file() and path.stat().st_size] == []
            disk.free()
            restoring.restore(backup, NOW)
            assert (settings.DATA_DIR / "locale" / "de.po").read_text() == "words of our own"
    except NoSmallDisk as reason:
        pytest.skip(str(reason))
    assert Account.objects.exists() and unfinished.what() == ""


def test_the_keys_file_that_is_there_stays_when_the_disk_is_full(account: Account, tmp_path: Path) -> None:
    store = destinations.at(tmp_path / "backups")
    try:
        with small_disk(tmp_path / "disk", "1m") as disk:
            keys = disk.path / "keys.env"
            keys.write_text("the keys of before")
            disk.fill()
            with pytest.raises(OSError, match="No space left"):
                making.write_keys(keys, store)
            assert keys.read_text() == "the keys of before"
            disk.free()
            making.write_keys(keys, store)
            assert "PRX_EMAIL_ENCRYPTION_KEYS=" in keys.read_text() and keys.stat().st_mode & 0o77 == 0
            assert {path.name for path in disk.path.iterdir()} == {"keys.env"}
    except NoSmallDisk as reason:
        pytest.skip(str(reason))
