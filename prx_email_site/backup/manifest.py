"""The manifest of a backup, and finding backups."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from prx_email_site.backup import destinations, sealing
from prx_email_site.backup.faults import NoBackup, NoIdentity
from prx_email_site.backup.sealing import Writer
from prx_email_site.backup.stores import BackupFile, BackupStore, measure

FORMAT, SEALED_FORMAT = 1, 2
FILE_NAME, SEALED_NAME = "manifest.json", "manifest.age"
DATABASE, RAW, FILES = "database", "raw", "files"
_NAME, _TIME = re.compile(r"\d{8}T\d{6}Z"), "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Manifest:
    """The content of a backup.

    counts: rows by table. missing: segments that rows refer to and that were missing when it was made. keys: SHA-256
    (hex) of each encryption key; a key has 256 random bits, so its digest reveals nothing.
    """

    made_at: datetime
    engine: str
    database: BackupFile
    migrations: list[str]
    counts: dict[str, int]
    segments: list[BackupFile]
    missing: list[str]
    files: list[BackupFile]
    keys: list[str]
    format: int = FORMAT


@dataclass(frozen=True)
class Listing:
    """The readable part of a backup, by which the next one copies only new files.

    For an encrypted backup, manifest.json contains this alone, and `sealed` is the encrypted manifest. keys: as in
    Manifest; none in encrypted ones of before.
    """

    recipients: list[str]
    segments: list[BackupFile]
    files: list[BackupFile]
    sealed: BackupFile | None = None
    keys: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Backup:
    """A backup in a store; its name is its time.

    identity: the file with the private key for an encrypted backup. written: the manifest, if this process made the
    backup and so need not decrypt it.
    """

    store: BackupStore
    name: str
    identity: Path | None = None
    written: Manifest | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.store}/{self.name}"

    @property
    def manifest(self) -> str:
        """The name in the store of its manifest."""
        return f"{self.name}/{FILE_NAME}"

    @property
    def database(self) -> str:
        """The name in the store of its dump of the database."""
        return f"{self.name}/{DATABASE}"

    @property
    def sealed(self) -> str:
        """The name in the store of the encrypted part of its manifest; only encrypted backups have one."""
        return f"{self.name}/{SEALED_NAME}"

    @cached_property
    def listing(self) -> Listing:
        """The readable part of the backup. Raises NoBackup."""
        said = self._json(self.manifest)
        try:
            if said["format"] == SEALED_FORMAT:
                recipients, sealed = said["recipients"], BackupFile(**said["sealed"])
            elif said["format"] == FORMAT:
                recipients, sealed = [], None
            else:
                raise NoBackup(f"{self} has format {said['format']}; this release reads {FORMAT} and {SEALED_FORMAT}.")
            stored = {name: [BackupFile(**each) for each in said[name]] for name in ("segments", "files")}
            return Listing(recipients, sealed=sealed, keys=list(said.get("keys", ())), **stored)
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable(error) from error

    @property
    def folder(self) -> str:
        """The folder of its segments and files in the store: "to-…/" for an encrypted backup, else ""."""
        return sealing.folder_for(self.listing.recipients)

    def names(self) -> Iterator[str]:
        """The names of all files in the store that the backup needs."""
        yield from (self.manifest, self.database)
        if self.listing.sealed:
            yield self.sealed
        yield from (f"{self.folder}{RAW}/{each.path}" for each in self.listing.segments)
        yield from (self.name_of(each) for each in self.listing.files)

    def name_of(self, file: BackupFile) -> str:
        """The name in the store of a file of the data folder."""
        return f"{self.folder}{FILES}/{file.kept_as or file.sha256}"

    @contextmanager
    def opened(self, file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
        """A context with the decrypted content of a file of the store, from its beginning. `name`: for error texts.

        Raises NoIdentity, WrongIdentity, SegmentDamaged.
        """
        file.seek(0)
        if not self.listing.recipients:
            yield file
        elif self.identity is None:
            raise NoIdentity(f"{self} is encrypted to {', '.join(self.listing.recipients)}: give --identity FILE.")
        else:
            with sealing.opened(file, self.identity, name) as plain:
                yield plain

    @contextmanager
    def database_file(self) -> Iterator[Path]:
        """A context with the path of the decrypted copy of the database on this host's disk."""
        if not self.listing.recipients:
            with self.store.as_file(self.database) as path:
                yield path
            return
        with self.store.open(self.database) as file, self.opened(file, self.database) as plain:
            yield Path(plain.name)

    def read(self) -> Manifest:
        """The manifest. Raises NoBackup, NoIdentity, WrongIdentity."""
        if self.written:
            return self.written
        said = self._opened_manifest() if self.listing.sealed else self._json(self.manifest)
        try:
            said["made_at"] = datetime.fromisoformat(said["made_at"])
            said["database"] = BackupFile(**said["database"])
            for name in ("segments", "files"):
                said[name] = [BackupFile(**each) for each in said[name]]
            return Manifest(**said)
        except (ValueError, KeyError, TypeError) as error:
            raise self._unreadable(error) from error

    def _json(self, name: str) -> dict[str, Any]:
        try:
            with self.store.open(name) as file:
                said = json.loads(file.read())
        except (FileNotFoundError, ValueError) as error:
            raise self._unreadable(error) from error
        if not isinstance(said, dict):
            raise self._unreadable("it is no object")
        return said

    def _opened_manifest(self) -> dict[str, Any]:
        try:
            with self.store.open(self.sealed) as file:
                if measure(file, SEALED_NAME) != self.listing.sealed:
                    raise NoBackup(f"{self.store}/{self.sealed} has other bytes than when it was made.")
                with self.opened(file, self.sealed) as plain:
                    said: dict[str, Any] = json.loads(plain.read())
                    return said
        except FileNotFoundError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, why: object) -> NoBackup:
        return NoBackup(f"{self.store}/{self.manifest} cannot be read: {why}")

    def write(self, manifest: Manifest, writer: Writer) -> None:
        """Write the manifest, encrypted if there are recipients. It is durable and complete, or not there at all."""
        text = json.dumps({**asdict(manifest), "made_at": manifest.made_at.isoformat()}, indent=1)
        if writer.recipients:
            sealed = writer.put(self.sealed, io.BytesIO(text.encode()), SEALED_NAME)
            text = json.dumps(_listing_of(manifest, writer, sealed), indent=1)
        self.store.put(self.manifest, io.BytesIO(text.encode()), FILE_NAME)


def _listing_of(manifest: Manifest, writer: Writer, sealed: BackupFile) -> dict[str, Any]:
    """The readable part of an encrypted backup. Files have their names in the store, as their own names are private."""
    listing = Listing(
        recipients=list(writer.recipients),
        segments=manifest.segments,
        files=[BackupFile(each.kept_as, each.size, each.sha256, each.kept_as) for each in manifest.files],
        sealed=sealed,
        keys=manifest.keys,
    )
    return {"format": SEALED_FORMAT, "made_at": manifest.made_at.isoformat(), **asdict(listing)}


def key_digests(keys: list[str]) -> list[str]:
    """The SHA-256 (hex) of each encryption key, in order; the manifest has them, and never a key."""
    return [hashlib.sha256(key.encode()).hexdigest() for key in keys]


def complete_in(store: BackupStore) -> list[Backup]:
    """The backups of a store, oldest first, without interrupted ones."""
    split = [name.partition("/") for name in store.sizes()]
    return [Backup(store, top) for top in sorted(top for top, _, file in split if file == FILE_NAME and _is_name(top))]


def next_in(store: BackupStore, now: datetime) -> Backup:
    """The backup that is made now. Its name comes after those of all others there, also if the clock was ahead when
    they were made: the newest is what is restored, proven and kept, and the oldest goes."""
    name = f"{now:{_TIME}}"
    if (there := complete_in(store)) and name <= there[-1].name:
        name = f"{datetime.strptime(there[-1].name, _TIME) + timedelta(seconds=1):{_TIME}}"  # noqa: DTZ007 - UTC
    return Backup(store, name)


def _is_name(top: str) -> bool:
    try:
        datetime.strptime(top, _TIME)  # noqa: DTZ007 - UTC
    except ValueError:
        return False
    return _NAME.fullmatch(top) is not None


def find(target: str | Path, identity: Path | None = None) -> Backup:
    """The backup at this path or s3:// address, or the newest backup below it. Raises NoBackup."""
    parent, _, name = str(target).rstrip("/").rpartition("/")
    if _NAME.fullmatch(name):
        return Backup(destinations.at(parent or "."), name, identity)
    if found := complete_in(destinations.at(target)):
        return replace(found[-1], identity=identity)
    raise NoBackup(f"{target} holds no backup.")
