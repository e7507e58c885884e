"""Counting limits that all processes of this host share: each slot is a locked file, freed when its process dies."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from django.conf import settings


def take_slot(name: str, count: int) -> IO[bytes] | None:
    """Take one of the `count` slots of this name and hold it until the file is closed; None when all are taken."""
    folder = Path(settings.DATA_DIR) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        file = (folder / f"{name}-{number}").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except OSError:
            file.close()
    return None


def take_slots(name: str, wanted: int, count: int) -> list[IO[bytes]]:
    """Take up to `wanted` of the `count` slots of this name."""
    taken: list[IO[bytes]] = []
    while len(taken) < wanted and (slot := take_slot(name, count)):
        taken.append(slot)
    return taken
