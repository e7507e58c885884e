"""Files that only the user of the installation may read: the umask of our processes, and the repair of older files.

The data folder holds all mail, the sessions and the keys: whoever reads those is signed in as anybody.
Imports nothing of Django: it runs before the settings are read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

OTHERS = 0o077  # what group and others may do


def make_new_files_private() -> None:
    """From now on this process and its children make files with mode 600 and folders with mode 700."""
    os.umask(OTHERS)


def open_to_others(folder: Path, *, depth: int | None = None) -> Iterator[Path]:
    """What of the folder, itself included, group or others may read, write or enter.

    Symbolic links are not followed. `depth`: how many folders down; None for all.
    """
    if not folder.is_dir():
        return
    if is_open(folder.stat(follow_symlinks=False)):
        yield folder
    yield from _below(folder, depth)


def _below(folder: Path, depth: int | None) -> Iterator[Path]:
    """Entries that vanish meanwhile are left out: a database removes its journal while we look."""
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
    return bool(stat.S_IMODE(status.st_mode) & OTHERS)


def close_to_others(folder: Path) -> list[Path]:
    """Take the rights of group and others from all that is ours (the owner is the present user); returns what is left.

    The folder itself comes first: from then on nobody else reaches what lies in it.
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
