"""A real file system of a few megabytes that a test can fill up: mounting it takes root."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


class NoSmallDisk(Exception):
    """Whoever runs the tests may not mount."""


@dataclass(frozen=True)
class SmallDisk:
    path: Path

    @property
    def _filler(self) -> Path:
        return self.path / "filler"

    def fill(self) -> None:
        """Not a byte is left."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def allow_writing(self, *, allowed: bool) -> None:
        """Remount it, as an administrator does, or the kernel after an error of the disk."""
        subprocess.run(["mount", "-o", f"remount,{'rw' if allowed else 'ro'}", self.path], check=True)

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[SmallDisk]:
    """Mount one at this path; `size` as mount(8) takes it. Raises NoSmallDisk."""
    path.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path]).returncode:
        raise NoSmallDisk("mounting a small disk takes root")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        with small_disk(tmp_path / "disk", "16m") as disk:
            yield disk
    except NoSmallDisk as reason:
        pytest.skip(str(reason))
