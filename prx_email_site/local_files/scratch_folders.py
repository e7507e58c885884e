"""Folders for copies of mail on this host's disk that are gone when their process is, however that ended.

A process that is killed leaves its temporary folder behind: a whole database, or a restored installation. So in each
of ours a file is locked by its process, and whoever makes the next one removes those that nobody holds any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "prx-email-"
PURPOSES = ("copy", "draft", "opened", "proof")
LOCK = ".in-use"
SETTLED_SECONDS = 60  # a younger folder may not have been locked yet


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """A context with a new folder that only this user may enter, in the system's temporary one.

    purpose: one of PURPOSES, in its name. It is removed at the end; after a kill by a later call, or by the daily task.
    """
    remove_left_ones()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{purpose}-") as name, (Path(name) / LOCK).open("x") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(name)


def remove_left_ones() -> int:
    """Remove this user's scratch folders whose process has ended; return how many."""
    there = [found for each in PURPOSES for found in Path(tempfile.gettempdir()).glob(f"{PREFIX}{each}-*/")]
    left = [each for each in there if _is_left(each)]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def _is_left(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:  # its process was killed before it made the lock, or after it removed it, with mail left
        return _is_ours_and_settled(folder.lstat) and not folder.is_symlink()
    except OSError:  # another user's
        return False
    try:
        if not _is_ours_and_settled(lambda: os.fstat(descriptor)):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_ours_and_settled(stat: Callable[[], os.stat_result]) -> bool:
    try:
        status = stat()
    except OSError:  # removed just now
        return False
    return status.st_uid == os.geteuid() and status.st_mtime <= time.time() - SETTLED_SECONDS
