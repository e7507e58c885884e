"""A backup for the tests, and ways to damage one."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils import timezone

from prx_email_site.backup import destinations, making, manifest

NOW = timezone.now().replace(microsecond=0)


def made_in(folder: Path, now: datetime = NOW) -> Path:
    return Path(str(making.make(destinations.at(folder), now)))


def segment_of(place: Path) -> Path:
    return place.parent / "raw" / manifest.find(place).read().segments[0].path


def changed(place: Path, **fields: Any) -> None:
    path = place / manifest.FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def only_file(place: Path) -> str:
    (file,) = manifest.find(place).read().files
    return file.sha256
