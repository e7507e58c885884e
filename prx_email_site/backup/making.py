"""Make a backup while the installation runs."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.db import connection

from mailbox.models import RawMessage
from mailbox.storage.backend import raw_storage
from prx_email_site.backup import databases, manifest
from prx_email_site.backup.manifest import BackupFault, Manifest, StoredFile

ATTEMPTS = 3
# Of the data folder. The mark of the installation must not come back with it (outbox.restore_guard); the keys are kept
# apart; the rest is made again or fetched again.
LEFT_OUT = ("keys", "raw", "raw-copies", "static", "partial")
LEFT_OUT_FILES = ("*.sqlite3*", "installation-*", "*.lock", "*.draft")


class SegmentSwept(Exception):
    """A segment of the copied database was removed since: its messages had been deleted. The copy is taken anew."""


def make(folder: Path, now: datetime) -> Path:
    """Add a backup to the folder; returns its place. Raises BackupFault, OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(folder):
        for _ in range(ATTEMPTS):
            place = folder / f"{now:%Y%m%dT%H%M%SZ}"
            shutil.rmtree(place, ignore_errors=True)  # an attempt of ours, or what was interrupted
            try:
                return _make(folder, place, now)
            except SegmentSwept as error:
                swept = error
        raise BackupFault(f"Stored mail is removed faster than it is copied ({swept}): run this again.")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "backup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupFault(f"Another backup into {folder} is at work.") from error
        yield


def _make(folder: Path, place: Path, now: datetime) -> Path:
    place.mkdir(mode=0o700)
    database = place / manifest.DATABASE
    content = databases.dump(database)
    database.chmod(0o600)
    _sync(database)
    segments, missing = _copy_segments(folder, content.segments)
    manifest.write(
        place,
        Manifest(
            made_at=now,
            engine=connection.vendor,
            database=StoredFile(manifest.DATABASE, database.stat().st_size, manifest.digest_of_file(database)),
            migrations=content.migrations,
            counts=content.counts,
            segments=segments,
            missing=missing,
            files=_copy_files(folder),
            keys=manifest.key_digests(settings.ENCRYPTION_KEYS),
        ),
    )
    manifest.sync_folder(folder)
    return place


def _copy_segments(folder: Path, wanted: dict[str, int]) -> tuple[list[StoredFile], list[str]]:
    """`wanted`: segment -> bytes that rows refer to. What an earlier backup copied whole is not read again."""
    known = _known(folder)
    copied, missing = [], []
    for name, end in sorted(wanted.items()):
        stored, target = known.get(name), folder / manifest.RAW / name
        if stored and stored.size >= end and target.exists() and target.stat().st_size == stored.size:
            copied.append(stored)
            continue
        try:
            with raw_storage().open(name, "rb") as source:
                copied.append(_copy(source, target, name))
        except FileNotFoundError:
            if not RawMessage.objects.filter(segment=name).exists():
                raise SegmentSwept(name) from None
            missing.append(name)  # damage, which the manifest names; the rest is worth keeping all the more
    return copied, missing


def _known(folder: Path) -> dict[str, StoredFile]:
    earlier = manifest.complete_in(folder)
    return {each.path: each for each in manifest.read(earlier[-1]).segments} if earlier else {}


def _copy_files(folder: Path) -> list[StoredFile]:
    """What else the data folder holds: translations of one's own, the folder of attachments."""
    copied = []
    for path in _other_files(folder.resolve()):
        name = str(path.relative_to(settings.DATA_DIR))
        draft = folder / manifest.FILES / f"{secrets.token_hex(8)}.draft"
        try:
            with path.open("rb") as source:
                stored = _copy(source, draft, name)
        except FileNotFoundError:
            continue  # removed meanwhile
        draft.replace(draft.with_name(stored.sha256))
        copied.append(stored)
    if copied:
        manifest.sync_folder(folder / manifest.FILES)
    return copied


def _other_files(backups: Path) -> Iterator[Path]:
    root = Path(settings.DATA_DIR)
    stores = [getattr(raw_storage(), name, None) for name in ("present", "other")] + [raw_storage()]
    folders = [Path(each.location).resolve() for each in stores if isinstance(each, FileSystemStorage)]
    elsewhere = (backups, *folders)
    for top in sorted(root.iterdir()):
        if top.name in LEFT_OUT or any(top.match(pattern) for pattern in LEFT_OUT_FILES):
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and not path.is_symlink() and not any(map(path.resolve().is_relative_to, elsewhere)):
                yield path


def _copy(source: IO[bytes], target: Path, name: str) -> StoredFile:
    """Durable under its name only when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}.draft")
    try:
        with draft.open("wb") as file:
            draft.chmod(0o600)
            shutil.copyfileobj(source, file, 1024 * 1024)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    manifest.sync_folder(target.parent)
    return StoredFile(name, target.stat().st_size, manifest.digest_of_file(target))


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_keys(path: Path, folder: Path) -> None:
    """The keys, to a place apart from the backups: together they are the accounts' passwords in clear."""
    if path.resolve().is_relative_to(folder.resolve()):
        raise BackupFault("The keys are kept apart from the backup: name a file outside of its folder.")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(f"PRX_EMAIL_ENCRYPTION_KEYS={','.join(settings.ENCRYPTION_KEYS)}\n")
        file.write(f"PRX_EMAIL_SECRET_KEY={settings.SECRET_KEY}\n")
        os.fsync(descriptor)


def forget(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep` backups and the segments and files that none of them names; says what went."""
    with _alone(folder):
        complete = manifest.complete_in(folder)
        old = complete[: max(len(complete) - keep, 0)]
        for place in old:
            shutil.rmtree(place)
        left = [manifest.read(place) for place in complete[len(old) :]]
        named = {folder / manifest.RAW / each.path for one in left for each in one.segments}
        named |= {folder / manifest.FILES / each.sha256 for one in left for each in one.files}
        for part in (manifest.RAW, manifest.FILES) if old else ():
            for path in (folder / part).rglob("*"):
                if path.is_file() and path not in named:
                    path.unlink()
        return old
