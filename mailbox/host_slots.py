"""Counting limits that all processes of this host share: each slot is a locked file, freed when its process dies."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from django.conf import settings


@dataclass(frozen=True)
class Slot:
    """Held until it is closed, or its `with` block ends; `number` counts from 0."""

    number: int
    _file: IO[bytes]

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def take_slot(name: str, count: int) -> Slot | None:
    """Take the first free one of the `count` slots of this name; None when all are taken."""
    folder = Path(settings.DATA_DIR) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        file = (folder / f"{name}-{number}").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Slot(number, file)
        except OSError:
            file.close()
    return None


def take_slots(name: str, wanted: int, count: int) -> list[Slot]:
    """Take up to `wanted` of the `count` slots of this name."""
    taken: list[Slot] = []
    while len(taken) < wanted and (slot := take_slot(name, count)):
        taken.append(slot)
    return taken
