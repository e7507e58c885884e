"""Makes a backup while the installation runs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.db import connection

from mailbox.models import RawMessage
from mailbox.storage.durable_files import raw_storage, raw_stores
from prx_email_site import one_at_a_time
from prx_email_site.backup import databases, manifest, room, sealing, unfinished
from prx_email_site.backup.faults import BackupFault, NoBackup
from prx_email_site.backup.manifest import Backup, Manifest
from prx_email_site.backup.sealing import Writer
from prx_email_site.backup.stores import DRAFTS, BackupFile, BackupStore, FolderStore, measure
from prx_email_site.local_files import scratch_folders

Known = dict[str, BackupFile]  # name in the store -> file

ATTEMPTS = 3
# Not copied from the data folder: the mark of the installation (installation-*), which outbox.restore_guard must not
# find after a restore; the keys, which are kept apart; files that can be made or fetched again.
LEFT_OUT = ("keys", "raw", "raw-copies", "static", "partial")
# Names that a backup makes in a store; `forget` removes no others.
_OURS = re.compile(rf"(to-[0-9a-f]{{12}}/)?(raw|files)/|\d{{8}}T\d{{6}}Z/|{DRAFTS}")
SHORTEST_KEY, LARGEST_KEY_FILE = 20, 1024 * 1024  # bytes
LEFT_OUT_FILES = ("*.sqlite3*", "installation-*", "*.lock", "*.draft", unfinished.FILE_NAME)


class SegmentSwept(Exception):
    """A segment was removed after the database was copied, as its messages were deleted, or from the store of backups.
    The backup is made again."""


def _say_nothing(_: str) -> None: ...


def make(
    store: BackupStore, now: datetime, recipients: Sequence[str] = (), say: Callable[[str], object] = _say_nothing
) -> Backup:
    """Add a backup to a store; encrypted if there are recipients (public keys). Raises BackupFault, OSError.

    say: gets a sentence if it waits for another process.
    """
    sealing.check(recipients)
    writer = Writer(store, tuple(sorted(set(recipients))))
    with store.alone():
        _refuse_a_place_of_others(store)
        backup = manifest.next_in(store, now)
        for _ in range(ATTEMPTS):
            try:
                return _make(backup, writer, now, say)
            except SegmentSwept as error:
                swept = error
        raise BackupFault(f"Stored mail is removed faster than it is copied ({swept}): run this again.")


def _refuse_a_place_of_others(store: BackupStore) -> None:
    """Raise BackupFault if the newest backup there is another installation's: `--keep` would remove those, and the
    newest one is what is restored and proven. A copy of this installation has the same keys and is not noticed."""
    for newest in manifest.complete_in(store)[-1:]:
        try:
            keys = newest.listing.keys
        except NoBackup:  # damaged
            continue
        if keys and not set(keys) & set(manifest.key_digests(settings.ENCRYPTION_KEYS)):
            raise BackupFault(
                f"{newest} was made with other PRX_EMAIL_ENCRYPTION_KEYS, so by another installation: give this one a "
                f"place of its own, or move those backups away."
            )


def _make(backup: Backup, writer: Writer, now: datetime, say: Callable[[str], object]) -> Backup:
    with writer.drafts() as drafts:
        draft = drafts / manifest.DATABASE
        room.demand(drafts, databases.size_of_dump())
        with one_at_a_time.one_at_a_time(settings.DATA_DIR, say):  # no migration meanwhile
            content = databases.dump(draft)
        room.demand(drafts, 0)  # of PostgreSQL's dump the size is not known before
        database = writer.take(draft, backup.database)
    there, known = writer.store.sizes(), _known(writer)
    segments, missing = _copy_segments(writer, content.segments, there, known)
    made = Manifest(
        made_at=now,
        engine=connection.vendor,
        database=database,
        migrations=content.migrations,
        counts=content.counts,
        segments=segments,
        missing=missing,
        files=list(_copy_files(writer, there, known)),
        keys=manifest.key_digests(settings.ENCRYPTION_KEYS),
    )
    _demand_all(made, writer)
    backup.write(made, writer)
    return replace(backup, written=made)


def _demand_all(made: Manifest, writer: Writer) -> None:
    """Raise SegmentSwept unless the store has all that the manifest names.

    A host that is suspended loses its lock for S3 when the database takes its connection for dead. Another backup may
    then have removed what no manifest names yet.
    """
    there = writer.store.sizes()
    names = {f"{writer.folder}{manifest.RAW}/{each.path}": each for each in made.segments}
    names |= {f"{writer.folder}{manifest.FILES}/{each.kept_as or each.sha256}": each for each in made.files}
    for name, each in names.items():
        if there.get(name) != each.size:
            raise SegmentSwept(name)


def _copy_segments(
    writer: Writer, wanted: dict[str, int], there: dict[str, int], known: Known
) -> tuple[list[BackupFile], list[str]]:
    """Copy the segments that the store lacks; returns (segments of the backup, names of missing ones).

    wanted: segment -> bytes that rows refer to. there: name in the store -> size. A segment that an earlier backup
    copied is not read again; one that an interrupted backup left is only measured.
    """
    copied, missing = [], []
    for segment, end in sorted(wanted.items()):
        name = f"{writer.folder}{manifest.RAW}/{segment}"
        stored, size = known.get(name), there.get(name, -1)
        if stored and size == stored.size >= end:
            copied.append(stored)
            continue
        try:
            if stored is None and size >= end:
                with writer.store.open(name) as source:
                    copied.append(measure(source, segment))
                continue
            writer.store.demand_room(end)
            with raw_storage().open(segment, "rb") as source:
                copied.append(writer.put(name, source, segment))
                if source.tell() < end:
                    missing.append(segment)  # its end is: what is left of it is kept
        except FileNotFoundError:
            if not RawMessage.objects.filter(segment=segment).exists():
                raise SegmentSwept(segment) from None
            missing.append(segment)  # the raw store is damaged: the manifest says so, and the rest is backed up
    return copied, missing


def _known(writer: Writer) -> Known:
    """The files of the newest backup for the same recipients."""
    for earlier in reversed(manifest.complete_in(writer.store)):
        try:
            listing = earlier.listing
        except NoBackup:  # damaged, which the next one must not be for that
            continue
        if earlier.folder == writer.folder:
            known = {f"{earlier.folder}{manifest.RAW}/{each.path}": each for each in listing.segments}
            return known | {earlier.name_of(each): each for each in listing.files}
    return {}


def _copy_files(writer: Writer, there: dict[str, int], known: Known) -> Iterator[BackupFile]:
    """Copy the other files of the data folder, such as own translations and the folder of attachments."""
    for path in _other_files(writer.store):
        name = str(path.relative_to(settings.DATA_DIR))
        for _ in range(ATTEMPTS):
            try:
                stored = _copy_file(writer, path, name, there, known)
            except FileNotFoundError:
                break  # removed meanwhile
            if stored is not None:
                yield stored
                break
        else:
            raise BackupFault(f"{path} changes while it is copied: run this again.")


def _copy_file(writer: Writer, path: Path, name: str, there: dict[str, int], known: Known) -> BackupFile | None:
    """Copy a file under its digest as name; returns None if it changed between the digest and the copy."""
    with path.open("rb") as source:
        found = measure(source, name)
        kept_as = writer.name_of(found.sha256)
        key = f"{writer.folder}{manifest.FILES}/{kept_as}"
        stored = known.get(key) if writer.recipients else found
        if stored is None or there.get(key) != stored.size:
            writer.store.demand_room(found.size)
            source.seek(0)
            stored = writer.put(key, source, name)
            source.seek(0)
            if measure(source, name) != found:
                return None
        return replace(stored, path=name, kept_as=kept_as if writer.recipients else "")


def _other_files(store: BackupStore) -> Iterator[Path]:
    root = Path(settings.DATA_DIR)
    elsewhere = [Path(each.location).resolve() for each in raw_stores() if isinstance(each, FileSystemStorage)]
    elsewhere += [store.path] if isinstance(store, FolderStore) else []
    for top in sorted(root.iterdir()):
        if top.name in LEFT_OUT or any(top.match(pattern) for pattern in LEFT_OUT_FILES):
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_symlink() or not path.is_file() or any(map(path.resolve().is_relative_to, elsewhere)):
                continue
            if not any(part.startswith(scratch_folders.PREFIX) for part in path.parts) and not _has_a_key(path):
                yield path


def _has_a_key(path: Path) -> bool:
    """Whether one of the installation's keys is in the file, as in what `--keys` wrote or a file of settings."""
    keys = [key.encode() for key in (*settings.ENCRYPTION_KEYS, settings.SECRET_KEY) if len(key) >= SHORTEST_KEY]
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST_KEY_FILE else b""
    except FileNotFoundError:  # removed meanwhile
        return False
    return any(key in content for key in keys)


def write_keys(path: Path, store: BackupStore) -> None:
    """Write the keys to a file outside of the backups: with both, anybody could read the accounts' passwords.

    A full disk, or a kill, leaves the file as it was.
    """
    path = path.resolve()
    if isinstance(store, FolderStore) and path.is_relative_to(store.path):
        raise BackupFault("The keys are kept apart from the backup: name a file outside of its folder.")
    is_file = path.is_file() or not path.exists()  # else a pipe or a terminal
    draft = path.with_name(f"{path.name}.draft") if is_file else path
    try:
        descriptor = os.open(draft, os.O_WRONLY | (os.O_CREAT | os.O_TRUNC if is_file else 0), 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"PRX_EMAIL_ENCRYPTION_KEYS={','.join(settings.ENCRYPTION_KEYS)}\n")
            file.write(f"PRX_EMAIL_SECRET_KEY={settings.SECRET_KEY}\n")
            file.flush()
            if is_file:
                os.fchmod(descriptor, 0o600)
                os.fsync(descriptor)
        if is_file:
            draft.replace(path)
    finally:
        if is_file:
            draft.unlink(missing_ok=True)


def forget(store: BackupStore, keep: int) -> list[Backup]:
    """Remove all but the newest `keep` backups, and files that belong to none, as an interrupted backup leaves them.

    Returns the removed backups.
    """
    with store.alone():
        complete = manifest.complete_in(store)
        old = complete[: max(len(complete) - keep, 0)]
        named = {name for backup in complete[len(old) :] for name in backup.names()}
        for backup in old:  # the manifest first, so that a crash leaves no incomplete backup
            store.remove(backup.manifest)
        for name in store.sizes():
            if name not in named and _OURS.match(name):
                store.remove(name)
        return old
