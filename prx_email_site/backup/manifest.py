"""What a backup says of itself, and how one is found."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from prx_email_site.backup import places
from prx_email_site.backup.faults import NoBackup
from prx_email_site.backup.stores import BackupStore, StoredFile

FORMAT = 1
FILE_NAME, DATABASE, RAW, FILES = "manifest.json", "database", "raw", "files"
_NAME = re.compile(r"\d{8}T\d{6}Z")


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


@dataclass(frozen=True)
class Backup:
    """One backup of those that a store holds, by the time in its name."""

    store: BackupStore
    name: str

    def __str__(self) -> str:
        return f"{self.store}/{self.name}"

    @property
    def manifest(self) -> str:
        return f"{self.name}/{FILE_NAME}"

    @property
    def database(self) -> str:
        return f"{self.name}/{DATABASE}"

    def read(self) -> Manifest:
        """Raises NoBackup."""
        try:
            with self.store.open(self.manifest) as file:
                said: dict[str, Any] = json.loads(file.read())
            if said["format"] != FORMAT:
                raise NoBackup(f"{self} has format {said['format']}; this release reads {FORMAT}.")
            said["made_at"] = datetime.fromisoformat(said["made_at"])
            said["database"] = StoredFile(**said["database"])
            for name in ("segments", "files"):
                said[name] = [StoredFile(**each) for each in said[name]]
            return Manifest(**said)
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            raise NoBackup(f"{self.store}/{self.manifest} cannot be read: {error}") from error

    def write(self, manifest: Manifest) -> None:
        """Durable and whole, or not there."""
        text = json.dumps({**asdict(manifest), "made_at": manifest.made_at.isoformat()}, indent=1)
        self.store.put(self.manifest, io.BytesIO(text.encode()), FILE_NAME)


def key_digests(keys: list[str]) -> list[str]:
    return [hashlib.sha256(key.encode()).hexdigest() for key in keys]


def complete_in(store: BackupStore) -> list[Backup]:
    """The backups of a store, oldest first; one that was interrupted is none."""
    tops = {
        name.partition("/")[0] for name in store.sizes() if name.endswith(f"Z/{FILE_NAME}") and name.count("/") == 1
    }
    return [Backup(store, top) for top in sorted(tops)]


def find(target: str | Path) -> Backup:
    """The backup at this path or address, or the newest of those below it; raises NoBackup."""
    parent, _, name = str(target).rstrip("/").rpartition("/")
    if _NAME.fullmatch(name):
        return Backup(places.at(parent or "."), name)
    if found := complete_in(places.at(target)):
        return found[-1]
    raise NoBackup(f"{target} holds no backup.")
