"""Stores of backups: the interface, and a folder as store. The package's docstring shows the names in a store."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from django.core.files.base import File

from prx_email_site.backup import room
from prx_email_site.backup.faults import BackupFault
from prx_email_site.local_files.scratch_folders import scratch_folder

PIECE = 1024 * 1024
DRAFTS = "draft-"


@dataclass(frozen=True)
class BackupFile:
    """A file in a store.

    path: its name in the installation (a segment, or a path in the data folder). size, sha256 (hex): of the bytes in
    the store. kept_as: the name in the store of a file of the data folder, if that is not its digest.

    Raises ValueError for a name that leads out of its folder: whoever can write a backup could else have a restore
    write any file.
    """

    path: str
    size: int
    sha256: str
    kept_as: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in filter(None, (self.path, self.kept_as, self.sha256)):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\0" in name:
                raise ValueError(f"{name!r} leads out of the backup's folders.")


class Measured(File):  # type: ignore[type-arg]  # not generic when it runs
    """A file that measures size and digest while it is read in pieces."""

    def __init__(self, source: IO[bytes], name: str) -> None:
        super().__init__(source, name)
        self._source = source
        self.length, self._found = 0, hashlib.sha256()

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The pieces of the source, PIECE bytes each, counted as they pass. `chunk_size` is ignored."""
        while piece := self._source.read(PIECE):
            self.length += len(piece)
            self._found.update(piece)
            yield piece

    def as_stored(self, path: str) -> BackupFile:
        """What was read so far, under this path."""
        return BackupFile(path, self.length, self._found.hexdigest())


def measure(source: IO[bytes], path: str) -> BackupFile:
    """Read the source to its end; returns its size and SHA-256."""
    measured = Measured(source, path)
    for _ in measured.chunks():
        pass
    return measured.as_stored(path)


class BackupStore(ABC):
    """A store of backups. Every method raises OSError if the store is unavailable.

    `open` and `as_file` raise FileNotFoundError for a missing file.
    """

    @abstractmethod
    def put(self, name: str, source: IO[bytes], path: str) -> BackupFile:
        """Write the rest of `source` under this name and return its size and digest. It is durable and complete, or
        not there at all; a file with this name is replaced."""

    @abstractmethod
    def take(self, draft: Path, name: str) -> BackupFile:
        """put() for a file in drafts(), which is removed."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading; it is seekable."""

    @abstractmethod
    def sizes(self, folder: str = "") -> dict[str, int]:
        """The sizes of all files below a folder: name in the store -> bytes."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete the file if it is there."""

    @abstractmethod
    def alone(self) -> AbstractContextManager[None]:
        """A context in which no other process changes the store. Raises BackupFault if one is doing so."""

    @abstractmethod
    def demand_room(self, wanted: int) -> None:
        """Raise NoRoom if `wanted` bytes in the store would take the reserve of a disk of this host."""

    @abstractmethod
    def drafts(self) -> AbstractContextManager[Path]:
        """A context with a folder on this host's disk, which is removed at the end."""

    @contextmanager
    def as_file(self, name: str) -> Iterator[Path]:
        """A context with the path of the file on this host's disk, a temporary copy if need be."""
        with scratch_folder("copy") as folder:
            with self.open(name) as source, (folder / "copy").open("wb") as copy:
                shutil.copyfileobj(source, copy, PIECE)
            yield folder / "copy"


@dataclass(frozen=True)
class FolderStore(BackupStore):
    """A store in a folder of this host: files 600, folders 700, each file written beside and renamed."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def put(self, name: str, source: IO[bytes], path: str) -> BackupFile:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Beside it, as raw/ may be another disk's; alone() removes what a killed backup left.
        draft = target.with_name(f"{DRAFTS}{secrets.token_hex(8)}")
        measured = Measured(source, path)
        try:
            with draft.open("xb") as file:
                draft.chmod(0o600)
                for piece in measured.chunks():
                    file.write(piece)
            self._name(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        return measured.as_stored(path)

    def take(self, draft: Path, name: str) -> BackupFile:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.chmod(0o600)
        with draft.open("rb") as file:
            stored = measure(file, target.name)
        self._name(draft, target)
        return stored

    def _name(self, draft: Path, target: Path) -> None:
        """Rename a draft to its name; fsync its bytes, its folder and each parent folder that may be new."""
        _sync(draft)
        draft.replace(target)
        for folder in (target.parent, *target.parent.parents):
            _sync(folder)
            if folder == self.path:
                break

    def open(self, name: str) -> IO[bytes]:
        return (self.path / name).open("rb")

    def sizes(self, folder: str = "") -> dict[str, int]:
        there = {}
        for path in (self.path / folder).rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file():
                    there[path.relative_to(self.path).as_posix()] = path.stat().st_size
        return there

    def remove(self, name: str) -> None:
        path = self.path / name
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.path:
                break
            try:
                folder.rmdir()
            except OSError:  # not empty
                break

    @contextmanager
    def alone(self) -> Iterator[None]:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.path / "backup.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BackupFault(f"Another backup into {self} is at work.") from error
            self._remove_drafts()
            yield

    def _remove_drafts(self) -> None:
        """Remove what killed backups left, which may be as large as the database.

        Raises BackupFault for a symbolic link to a folder: sizes() does not look into it, so all would be missing
        there, and it may lead into the raw store.
        """
        for top, folders, files in os.walk(self.path):
            for path in (Path(top, name) for name in folders):
                if path.is_symlink():
                    words = "is a symbolic link: link to the folder of backups as a whole, or mount a disk there."
                    raise BackupFault(f"{path} {words}")
            for name in [each for each in folders if each.startswith(DRAFTS)]:
                shutil.rmtree(Path(top, name), ignore_errors=True)
                folders.remove(name)
            for name in [each for each in files if each.startswith(DRAFTS)]:
                Path(top, name).unlink(missing_ok=True)

    def demand_room(self, wanted: int) -> None:
        room.demand(self.path, wanted)

    def drafts(self) -> AbstractContextManager[Path]:
        return _folder(self.path)  # on the same disk, so that take() only renames

    @contextmanager
    def as_file(self, name: str) -> Iterator[Path]:
        if not (self.path / name).exists():
            raise FileNotFoundError(name)
        yield self.path / name


@contextmanager
def _folder(inside: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=DRAFTS, dir=inside) as name:
        yield Path(name)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
