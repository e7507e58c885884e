"""File permissions: the umask of our processes, and corrections of existing files.

The data folder contains all mail, the sessions and the keys, with which a reader could act as any user. This module
does not import Django, as it runs before the settings are read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

OTHERS = 0o077  # the permission bits of group and others


def make_new_files_private() -> None:
    """Set the umask, so that this process and its children create files with mode 600 and folders with mode 700."""
    os.umask(OTHERS)


def open_to_others(folder: Path, *, depth: int | None = None) -> Iterator[Path]:
    """The folder and the files and folders in it that have any permission for group or others.

    Symbolic links are not followed. depth: how many levels of folders; None for all.
    """
    if not folder.is_dir():
        return
    if is_open(folder.stat(follow_symlinks=False)):
        yield folder
    yield from _below(folder, depth)


def _below(folder: Path, depth: int | None) -> Iterator[Path]:
    """Entries that are removed meanwhile are skipped, such as a database's journal."""
    if depth is not None and depth < 1:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISLNK(status.st_mode):
                continue
            if is_open(status):
                yield Path(entry.path)
            if stat.S_ISDIR(status.st_mode):
                yield from _below(Path(entry.path), None if depth is None else depth - 1)


def is_open(status: os.stat_result) -> bool:
    """Whether group or others have any permission."""
    return bool(stat.S_IMODE(status.st_mode) & OTHERS)


def close_to_others(folder: Path) -> list[Path]:
    """Remove the permissions of group and others; returns the paths that belong to another user, which stay open.

    The folder itself comes first: from then on others cannot reach its contents.
    """
    left = []
    for path in open_to_others(folder):
        try:
            path.chmod(stat.S_IMODE(path.stat(follow_symlinks=False).st_mode) & ~OTHERS)
        except FileNotFoundError:
            continue
        except PermissionError:
            left.append(path)
    return left
