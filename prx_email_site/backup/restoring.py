"""Put a backup in place of an empty installation. It starts with sending paused."""

from __future__ import annotations

import hashlib
import shutil
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.files.base import File
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from mailbox.models import Account
from mailbox.storage.backend import raw_storage
from outbox import restore_guard
from prx_email_site.backup import databases, manifest
from prx_email_site.backup.manifest import (
    CountsDiffer,
    DumpDamaged,
    DumpTruncated,
    Manifest,
    NewerSchema,
    NotEmpty,
    OtherDatabase,
    SegmentDamaged,
    SegmentMissing,
    StoredFile,
    WrongKey,
)

PAUSED = (
    "the database was restored from the backup of {made:%Y-%m-%d %H:%M} UTC. Mail that went out since then stands in "
    "the outbox as not sent: look through it, then resume"
)


def restore(place: Path, now: datetime) -> Manifest:
    """Into the database and data folder of this process. Raises BackupFault before anything is changed."""
    stated = manifest.read(place)
    check_files(place, stated)
    check_schema(stated)
    check_keys(stated)
    refuse_if_used()
    # Files first: a row never lacks its bytes, whatever crashes in between.
    for each in stated.segments:
        _put_segment(place.parent / manifest.RAW / each.path, each)
    for each in stated.files:
        target = Path(settings.DATA_DIR) / each.path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(place.parent / manifest.FILES / each.sha256, target)
    restore_database(place, stated, now)
    return stated


def restore_database(place: Path, stated: Manifest, now: datetime) -> None:
    """The rows, their count against the manifest, the migrations since, and the pause."""
    databases.load(place / manifest.DATABASE)
    counts = databases.content().counts
    differs = [name for name, count in stated.counts.items() if counts.get(name) != count]
    if differs:
        said = ", ".join(f"{name} {counts.get(name)} of {stated.counts[name]}" for name in differs[:5])
        raise CountsDiffer(f"Rows are not those of the backup: {said}.")
    call_command("migrate", interactive=False, verbosity=0)
    restore_guard.pause(PAUSED.format(made=stated.made_at), now)


def check_files(place: Path, stated: Manifest) -> None:
    """Read all of it; raises by the name of what is wrong."""
    _check_dump(place / manifest.DATABASE, stated.database)
    for each in stated.segments:
        _check_segment(place.parent / manifest.RAW / each.path, each)
    for each in stated.files:
        path = place.parent / manifest.FILES / each.sha256
        if not path.exists() or manifest.digest_of_file(path) != each.sha256:
            raise SegmentDamaged(f"The file {each.path} is missing or has other bytes.")


def _check_dump(path: Path, stated: StoredFile) -> None:
    size = path.stat().st_size if path.exists() else 0
    if size < stated.size:
        raise DumpTruncated(f"{path} has {size} of {stated.size} bytes.")
    if manifest.digest_of_file(path) != stated.sha256:
        raise DumpDamaged(f"{path} has other bytes than when it was made.")


def _check_segment(path: Path, stated: StoredFile) -> None:
    if not path.exists():
        raise SegmentMissing(f"{stated.path} is not in the backup.")
    if manifest.digest_of_file(path) != stated.sha256:
        raise SegmentDamaged(f"{stated.path} has other bytes than when it was copied.")


def check_schema(stated: Manifest) -> None:
    """Whether this release can take the tables: of the same database, and none of a newer release."""
    if stated.engine != connection.vendor:
        raise OtherDatabase(f"The backup is of {stated.engine}; this database is {connection.vendor}.")
    loader = MigrationLoader(None)
    known = {f"{app}.{name}" for app, name in loader.disk_migrations}
    known |= {f"{app}.{name}" for each in loader.disk_migrations.values() for app, name in each.replaces}
    newer = sorted(set(stated.migrations) - known)
    if newer:
        raise NewerSchema(f"This release does not know {', '.join(newer[:5])}: restore with the release that made it.")


def check_keys(stated: Manifest) -> None:
    if stated.keys and stated.keys[0] not in manifest.key_digests(settings.ENCRYPTION_KEYS):
        raise WrongKey("PRX_EMAIL_ENCRYPTION_KEYS has not the key that encrypted the secrets of this backup.")


def refuse_if_used() -> None:
    """Nothing is overwritten that somebody works with."""
    there = connection.introspection.table_names()
    if Account._meta.db_table in there and Account.objects.exists():
        raise NotEmpty("The database has accounts: give an empty one, or remove what is there yourself.")


def _put_segment(source: Path, stated: StoredFile) -> None:
    storage = raw_storage()
    if storage.exists(stated.path):
        with storage.open(stated.path, "rb") as there:
            if hashlib.file_digest(there, "sha256").hexdigest() == stated.sha256:
                return  # of a restore that was interrupted
        storage.delete(stated.path)
    with source.open("rb") as file:
        storage.save(stated.path, File(file))
