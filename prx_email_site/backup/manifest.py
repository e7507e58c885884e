"""What a backup says of itself, and the names of what can be wrong with one."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

FORMAT = 1
FILE_NAME, DATABASE, RAW, FILES = "manifest.json", "database", "raw", "files"


class BackupFault(Exception):
    """Why a backup cannot be made, restored or trusted. The class's name is what scripts and the dashboard are told."""

    def __str__(self) -> str:
        return f"{type(self).__name__}: {super().__str__()}"


class NoBackup(BackupFault):
    """There is no manifest, or none that can be read."""


class DumpTruncated(BackupFault):
    """The database's file is shorter than the manifest says."""


class DumpDamaged(BackupFault):
    """The database's file has other bytes than the manifest says, or cannot be read as a database."""


class SegmentMissing(BackupFault):
    """A file of the raw store is not in the backup."""


class SegmentDamaged(BackupFault):
    """A file of the raw store has other bytes than when it was copied."""


class MessagesMissing(BackupFault):
    """Rows refer to raw messages whose bytes are not there, or are others."""


class WrongKey(BackupFault):
    """The encryption keys do not open the stored secrets."""


class NewerSchema(BackupFault):
    """The backup was made by a newer release, with migrations that this one does not have."""


class OtherDatabase(BackupFault):
    """The backup is of SQLite and the database is PostgreSQL, or the other way round."""


class CountsDiffer(BackupFault):
    """A restored table has more or fewer rows than the backup's."""


class NotEmpty(BackupFault):
    """The database to restore into has accounts."""


class SendingNotPaused(BackupFault):
    """A restored database would send."""


class ToolFailed(BackupFault):
    """pg_dump or pg_restore is missing or failed; or a scratch database cannot be made."""


@dataclass(frozen=True)
class StoredFile:
    """`path` as the installation names it: a segment, or a file of the data folder. `sha256` in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """`counts`: rows by table. `missing`: segments that the database names and that were gone when it was made. `keys`:
    SHA-256 of each encryption key, in hex; they have 256 random bits, so that nothing follows from their digests."""

    made_at: datetime
    engine: str
    database: StoredFile
    migrations: list[str]
    counts: dict[str, int]
    segments: list[StoredFile]
    missing: list[str]
    files: list[StoredFile]
    keys: list[str]
    format: int = FORMAT


def digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_digests(keys: list[str]) -> list[str]:
    return [hashlib.sha256(key.encode()).hexdigest() for key in keys]


def write(folder: Path, manifest: Manifest) -> None:
    """Durable and whole, or not there."""
    draft = folder / f"{FILE_NAME}.draft"
    with draft.open("w", encoding="utf-8") as file:
        json.dump({**asdict(manifest), "made_at": manifest.made_at.isoformat()}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / FILE_NAME)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make names in it durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(folder: Path) -> Manifest:
    """Raises NoBackup."""
    try:
        said: dict[str, Any] = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        if said["format"] != FORMAT:
            raise NoBackup(f"{folder} has format {said['format']}; this release reads {FORMAT}.")
        said["made_at"] = datetime.fromisoformat(said["made_at"])
        said["database"] = StoredFile(**said["database"])
        for name in ("segments", "files"):
            said[name] = [StoredFile(**each) for each in said[name]]
        return Manifest(**said)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoBackup(f"{folder / FILE_NAME} cannot be read: {error}") from error


def complete_in(folder: Path) -> list[Path]:
    """The backups of a folder, oldest first; one that was interrupted is none."""
    return sorted(path.parent for path in folder.glob(f"*Z/{FILE_NAME}"))


def find(path: Path) -> Path:
    """The backup at this path, or the newest of a folder of backups; raises NoBackup."""
    if (path / FILE_NAME).exists():
        return path
    if found := complete_in(path):
        return found[-1]
    raise NoBackup(f"{path} holds no backup.")
