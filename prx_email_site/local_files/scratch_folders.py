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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "prx-email-"
LOCK = ".in-use"
SETTLED_SECONDS = 60  # a younger folder may not have been locked yet


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """A context with a new folder that only this user may enter, in the system's temporary one.

    purpose: a word in its name. It is removed at the end; after a kill by a later call, or by the daily task.
    """
    remove_left_ones()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{purpose}-") as name, (Path(name) / LOCK).open("x") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(name)


def remove_left_ones() -> int:
    """Remove this user's scratch folders whose process has ended; return how many."""
    left = [each.parent for each in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}") if _is_left(each)]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def _is_left(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:  # another user's, or removed just now
        return False
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mtime > time.time() - SETTLED_SECONDS:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
