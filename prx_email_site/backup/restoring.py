"""Restores a backup into an empty installation, which then starts with sending paused."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.files.base import File
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from mailbox import logs, process_heartbeats
from mailbox.models import Account, ProcessHeartbeat
from mailbox.storage import installations
from mailbox.storage.durable_files import raw_storage
from outbox import restore_guard
from prx_email_site import one_at_a_time
from prx_email_site.backup import databases, manifest, unfinished
from prx_email_site.backup.faults import (
    BackupFault,
    CountsDiffer,
    DumpDamaged,
    DumpTruncated,
    NewerSchema,
    NotEmpty,
    OtherDatabase,
    SegmentDamaged,
    SegmentMissing,
    WrongKey,
)
from prx_email_site.backup.manifest import Backup, Manifest
from prx_email_site.backup.stores import BackupFile, measure

PAUSED = (
    "the database was restored from the backup of {made:%Y-%m-%d %H:%M} UTC. Mail that waited then needs a decision, "
    "as it may have gone out since; resuming sends only what was queued afterwards"
)


def restore(backup: Backup, now: datetime) -> Manifest:
    """Restore into the database and data folder of this process. All checks come before the first change.

    Killed at any step, it can be run again, with this backup or another one; until then nothing else starts
    (unfinished). Raises BackupFault.
    """
    stated = backup.read()
    check_dump(backup, stated)
    for each in stated.segments:
        check_segment(backup, each)
    check_files(backup, stated)
    check_schema(stated)
    check_keys(stated)
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    busy = BackupFault("Another restore, or prepare, is at work on this database or data folder.")
    with one_at_a_time.or_refused(settings.DATA_DIR / "prepare.lock", one_at_a_time.ADVISORY_LOCK, busy):
        refuse_if_used(now)  # here, as SQLite does not say why it opens no file in a missing or read-only folder
        # Before what this reads there: the sweep of another installation on the same store then removes nothing.
        note = f"restore-{restore_guard.this_location()[:16]}"  # a restore that was killed left the same
        installations.leave(note)
        # Files first, so that rows never lack their bytes, even after a crash.
        for each in stated.segments:
            _put_segment(backup, each)
        for each in stated.files:
            _put_file(backup, each)
        refuse_if_used(timezone.now())  # again, as the copying may have taken hours
        unfinished.begin(backup)
        restore_database(backup, stated, now)
        installations.begin_anew(note, now)
        unfinished.end()
    return stated


def restore_database(backup: Backup, stated: Manifest, now: datetime) -> None:
    """Load the database, run newer migrations, pause sending, ask about mail that waits, and compare the row counts
    with the manifest's.

    Raises DumpDamaged, ToolFailed, CountsDiffer.
    """
    with backup.database_file() as dump:
        databases.load(dump)
    counts = databases.content().counts
    call_command("migrate", interactive=False, verbosity=0)
    restore_guard.restored(PAUSED.format(made=stated.made_at), now)
    differs = [name for name, count in stated.counts.items() if counts.get(name) != count]
    if differs:
        said = ", ".join(f"{name} {counts.get(name)} of {stated.counts[name]}" for name in differs[:5])
        raise CountsDiffer(f"Rows are not those of the backup: {said}.")


def check_dump(backup: Backup, stated: Manifest) -> None:
    """Read the dump and compare it with the manifest. Raises DumpTruncated, DumpDamaged."""
    size = backup.store.sizes(backup.name).get(backup.database, 0)
    if size < stated.database.size:
        raise DumpTruncated(f"{backup}/{manifest.DATABASE} has {size} of {stated.database.size} bytes.")
    with backup.store.open(backup.database) as file:
        if measure(file, manifest.DATABASE) != stated.database:
            raise DumpDamaged(f"{backup}/{manifest.DATABASE} has other bytes than when it was made.")


def check_segment(backup: Backup, stated: BackupFile) -> None:
    """Read a segment of the backup and compare it with the manifest. Raises SegmentMissing, SegmentDamaged."""
    with open_segment(backup, stated.path) as file:
        refuse_damage(file, stated)


def open_segment(backup: Backup, segment: str) -> IO[bytes]:
    """Open a segment of the backup as it is stored. Raises SegmentMissing."""
    try:
        return backup.store.open(f"{backup.folder}{manifest.RAW}/{segment}")
    except FileNotFoundError as error:
        raise SegmentMissing(f"{segment} is not in the backup.") from error


def refuse_damage(file: IO[bytes], stated: BackupFile) -> None:
    """Raise SegmentDamaged if the file differs from its size and digest in the manifest."""
    if measure(file, stated.path) != stated:
        raise SegmentDamaged(f"{stated.path} has other bytes than when it was copied.")


def check_files(backup: Backup, stated: Manifest) -> None:
    """Check the files of the data folder. Raises SegmentDamaged."""
    for each in stated.files:
        try:
            with backup.store.open(backup.name_of(each)) as file:
                is_sound = measure(file, each.path) == each
        except FileNotFoundError:
            is_sound = False
        if not is_sound:
            raise SegmentDamaged(f"The file {each.path} is missing or has other bytes.")


def check_schema(stated: Manifest) -> None:
    """Raise OtherDatabase for a backup of the other database engine, NewerSchema for unknown migrations."""
    if stated.engine != connection.vendor:
        raise OtherDatabase(f"The backup is of {stated.engine}; this database is {connection.vendor}.")
    loader = MigrationLoader(None)
    known = {f"{app}.{name}" for app, name in loader.disk_migrations}
    known |= {f"{app}.{name}" for each in loader.disk_migrations.values() for app, name in each.replaces}
    newer = sorted(set(stated.migrations) - known)
    if newer:
        raise NewerSchema(f"This release does not know {', '.join(newer[:5])}: restore with the release that made it.")


def check_keys(stated: Manifest) -> None:
    """Raise WrongKey unless this installation has the key that the backup's installation encrypted with."""
    if stated.keys and stated.keys[0] not in manifest.key_digests(settings.ENCRYPTION_KEYS):
        raise WrongKey("PRX_EMAIL_ENCRYPTION_KEYS has not the key that encrypted the secrets of this backup.")


def refuse_if_used(now: datetime) -> None:
    """Raise NotEmpty if the database has accounts, or processes of the site run with it, so that no installation in use
    is overwritten. What an interrupted restore left is none."""
    if unfinished.what():
        return
    there = connection.introspection.table_names()
    if Account._meta.db_table in there and Account.objects.exists():
        raise NotEmpty("The database has accounts: give an empty one, or remove what is there yourself.")
    if ProcessHeartbeat._meta.db_table in there:
        for each in ProcessHeartbeat.objects.filter(silent_at__gt=now, pid__gt=0).exclude(role="alerts"):
            if not (each.host == logs.this_host() and process_heartbeats.has_ended(each.pid, each.seen_at)):
                raise NotEmpty(
                    f"The site runs with this database ({each}): stop it, or wait two minutes if it has ended."
                )


def _put_file(backup: Backup, stated: BackupFile) -> None:
    """Write a file of the data folder: whole, or not at all."""
    target = Path(settings.DATA_DIR) / stated.path
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_name(f"{target.name}.draft")
    draft.unlink(missing_ok=True)
    name = backup.name_of(stated)
    try:
        with backup.store.open(name) as stored, backup.opened(stored, name) as source, draft.open("xb") as file:
            draft.chmod(0o600)
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _put_segment(backup: Backup, stated: BackupFile) -> None:
    storage = raw_storage()
    with open_segment(backup, stated.path) as file, backup.opened(file, stated.path) as source:
        if storage.exists(stated.path):
            with storage.open(stated.path, "rb") as there:
                if measure(there, stated.path) == measure(source, stated.path):
                    return  # an interrupted restore has copied it already
            storage.delete(stated.path)
            source.seek(0)
        storage.save(stated.path, File(source))
