"""Make a backup while the installation runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.db import connection

from mailbox.models import RawMessage
from mailbox.storage.durable_files import raw_storage
from prx_email_site.backup import databases, manifest
from prx_email_site.backup.faults import BackupFault
from prx_email_site.backup.manifest import Backup, Manifest
from prx_email_site.backup.stores import DRAFTS, BackupStore, Folder, StoredFile, measure, raw_stores

ATTEMPTS = 3
# Of the data folder. The mark of the installation must not come back with it (outbox.restore_guard); the keys are kept
# apart; the rest is made again or fetched again.
LEFT_OUT = ("keys", "raw", "raw-copies", "static", "partial")
_OURS = re.compile(rf"(raw|files|\d{{8}}T\d{{6}}Z)/|{DRAFTS}")  # what else somebody put there stays
LEFT_OUT_FILES = ("*.sqlite3*", "installation-*", "*.lock", "*.draft")


class SegmentSwept(Exception):
    """A segment of the copied database was removed since: its messages had been deleted. The copy is taken anew."""


def make(store: BackupStore, now: datetime) -> Backup:
    """Add a backup to those of the store. Raises BackupFault, OSError."""
    backup = Backup(store, f"{now:%Y%m%dT%H%M%SZ}")
    with store.alone():
        for _ in range(ATTEMPTS):
            try:
                return _make(backup, now)
            except SegmentSwept as error:
                swept = error
        raise BackupFault(f"Stored mail is removed faster than it is copied ({swept}): run this again.")


def _make(backup: Backup, now: datetime) -> Backup:
    store = backup.store
    with store.drafts() as drafts:
        draft = drafts / manifest.DATABASE
        content = databases.dump(draft)
        database = store.take(draft, backup.database)
    there = store.sizes()
    segments, missing = _copy_segments(store, content.segments, there)
    backup.write(
        Manifest(
            made_at=now,
            engine=connection.vendor,
            database=database,
            migrations=content.migrations,
            counts=content.counts,
            segments=segments,
            missing=missing,
            files=list(_copy_files(store, there)),
            keys=manifest.key_digests(settings.ENCRYPTION_KEYS),
        ),
    )
    return backup


def _copy_segments(
    store: BackupStore, wanted: dict[str, int], there: dict[str, int]
) -> tuple[list[StoredFile], list[str]]:
    """`wanted`: segment -> bytes that rows refer to. `there`: what the store holds. What an earlier backup copied whole
    is not read again; what an interrupted one left is measured where it lies."""
    known = _known(store)
    copied, missing = [], []
    for segment, end in sorted(wanted.items()):
        stored, name = known.get(segment), f"{manifest.RAW}/{segment}"
        size = there.get(name, -1)
        if stored and size == stored.size >= end:
            copied.append(stored)
            continue
        try:
            if stored is None and size >= end:
                with store.open(name) as source:
                    copied.append(measure(source, segment))
                continue
            with raw_storage().open(segment, "rb") as source:
                copied.append(store.put(name, source, segment))
        except FileNotFoundError:
            if not RawMessage.objects.filter(segment=segment).exists():
                raise SegmentSwept(segment) from None
            missing.append(segment)  # damage, which the manifest names; the rest is worth keeping all the more
    return copied, missing


def _known(store: BackupStore) -> dict[str, StoredFile]:
    earlier = manifest.complete_in(store)
    return {each.path: each for each in earlier[-1].read().segments} if earlier else {}


def _copy_files(store: BackupStore, there: dict[str, int]) -> Iterator[StoredFile]:
    """What else the data folder holds: translations of one's own, the folder of attachments."""
    for path in _other_files(store):
        name = str(path.relative_to(settings.DATA_DIR))
        for _ in range(ATTEMPTS):
            try:
                stored = _copy_file(store, path, name, there)
            except FileNotFoundError:
                break  # removed meanwhile
            if stored is not None:
                yield stored
                break
        else:
            raise BackupFault(f"{path} changes while it is copied: run this again.")


def _copy_file(store: BackupStore, path: Path, name: str, there: dict[str, int]) -> StoredFile | None:
    """None where it was changed between the look at its digest, which is its name, and the copy."""
    with path.open("rb") as source:
        stored = measure(source, name)
        kept_as = f"{manifest.FILES}/{stored.sha256}"
        if there.get(kept_as) == stored.size:
            return stored
        source.seek(0)
        return stored if store.put(kept_as, source, name) == stored else None


def _other_files(store: BackupStore) -> Iterator[Path]:
    root = Path(settings.DATA_DIR)
    elsewhere = [Path(each.location).resolve() for each in raw_stores() if isinstance(each, FileSystemStorage)]
    elsewhere += [store.path] if isinstance(store, Folder) else []
    for top in sorted(root.iterdir()):
        if top.name in LEFT_OUT or any(top.match(pattern) for pattern in LEFT_OUT_FILES):
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and not path.is_symlink() and not any(map(path.resolve().is_relative_to, elsewhere)):
                yield path


def write_keys(path: Path, store: BackupStore) -> None:
    """The keys, to a place apart from the backups: together they are the accounts' passwords in clear."""
    if isinstance(store, Folder) and path.resolve().is_relative_to(store.path):
        raise BackupFault("The keys are kept apart from the backup: name a file outside of its folder.")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(f"PRX_EMAIL_ENCRYPTION_KEYS={','.join(settings.ENCRYPTION_KEYS)}\n")
        file.write(f"PRX_EMAIL_SECRET_KEY={settings.SECRET_KEY}\n")
        os.fsync(descriptor)


def forget(store: BackupStore, keep: int) -> list[Backup]:
    """Remove all but the newest `keep` backups and what none of them names, as an interrupted one leaves it; says what
    went."""
    with store.alone():
        complete = manifest.complete_in(store)
        old = complete[: max(len(complete) - keep, 0)]
        named = {name for backup in complete[len(old) :] for name in _names(backup)}
        for backup in old:  # before what it needs, so that whatever crashes leaves no half backup
            store.remove(backup.manifest)
        for name in store.sizes():
            if name not in named and _OURS.match(name):
                store.remove(name)
        return old


def _names(backup: Backup) -> Iterator[str]:
    """Of all that a backup needs."""
    stated = backup.read()
    yield from (backup.manifest, backup.database)
    yield from (f"{manifest.RAW}/{each.path}" for each in stated.segments)
    yield from (f"{manifest.FILES}/{each.sha256}" for each in stated.files)
