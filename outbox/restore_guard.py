"""Is this still the same installation? After a restore or a clone, old rows would go out twice: sending waits then.

For each place (a machine and the path of its data folder) the database and the folder keep a mark and a number that
every sweep raises. A database that is behind its folder was restored; a place without a row, or without its mark,
belongs to a clone, or to a further host, which asks once. Hosts that share a folder have a file each in it. Whoever
backs up the folder leaves these out of the backup (docs/operations.md), so that restoring both is noticed as well.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db.models import F

from mailbox import logs
from outbox.models import Installation, SendingSwitch

logger = logging.getLogger(__name__)
FILE_NAME = "installation"
RESTORED = (
    "the database is older than the data folder, as after a restore. Mail that went out since the backup may "
    "stand in the outbox as not sent: look through it, then resume"
)
CLONED = (
    "the data folder is not the one this database ran with, as after a restore or in a copy. Resume only where "
    "the other installation no longer sends"
)


@dataclass(frozen=True)
class InstallationFile:
    """What the data folder knows."""

    mark: str
    generation: int
    place: str


def suspicion(database: tuple[str, int] | None, folder: InstallationFile | None, place: str, *, is_new: bool) -> str:
    """Why sending must wait for a person, or "". Pure. `database`: this place's mark and generation; `is_new`: it has
    those of no place."""
    if is_new:
        return ""
    if database is None:
        return CLONED
    mark, generation = database
    if folder is None or folder.mark != mark or folder.place != place:
        return CLONED
    return RESTORED if folder.generation > generation else ""


def this_location() -> str:
    """The machine and the folder, as a digest. A container without a machine id is known by the folder alone: its
    host name and network address change at each deployment, which is no clone."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = ""
    where = f"{machine}:{Path(settings.DATA_DIR).resolve()}"
    return hashlib.sha256(where.encode()).hexdigest()


def file_of(place: str) -> Path:
    """The file in the data folder with this place's mark."""
    return Path(settings.DATA_DIR) / f"{FILE_NAME}-{place[:16]}"


def check(now: datetime) -> str:
    """Compare, pause all sending when the two do not belong together, and raise the number in both.

    Returns why it was paused, or "". Runs before the workers start and at each sweep.
    """
    place = this_location()
    path = file_of(place)
    with _alone(path):
        return _check(path, place, now)


def look(now: datetime) -> None:
    """Before something is sent between two sweeps: pause all sending when the database was restored meanwhile.

    Costs one query and writes nothing as long as all is well.
    """
    place = this_location()
    if _suspicion(Installation.objects.filter(place=place).first(), _read(file_of(place)), place):
        check(now)


def _suspicion(row: Installation | None, folder: InstallationFile | None, place: str) -> str:
    is_new = row is None and not Installation.objects.exclude(place="").exists()
    return suspicion((row.mark, row.generation) if row else None, folder, place, is_new=is_new)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process of this folder at a time: what another writes between our two looks would be taken for a restore, or
    at the first start for a clone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check(path: Path, place: str, now: datetime) -> str:
    folder = _read(path)
    row = Installation.objects.filter(place=place).first()
    why = _suspicion(row, folder, place)
    if why:
        pause(why, now)
    if row is None:
        row = Installation.objects.get_or_create(place=place, defaults={"mark": secrets.token_hex(16)})[0]
    # Past the folder's number, or a restored database would be found restored again at each start.
    known = max(row.generation, folder.generation if folder and folder.mark == row.mark else 0)
    Installation.objects.filter(place=place, generation__lt=known).update(generation=known)
    Installation.objects.filter(place=place).update(generation=F("generation") + 1)
    # The database first: a folder that is behind its database proves nothing, and a crash in between is no restore.
    _write(path, InstallationFile(row.mark, known + 1, place))
    return why


def pause(why: str, now: datetime) -> None:
    """Have all sending wait for a person; who paused it already stays the reason."""
    SendingSwitch.current()
    if SendingSwitch.objects.filter(pk=1, paused_at=None).update(paused_at=now, paused_by=None, reason=why):
        logs.event(logger, "sending_paused", logging.WARNING, reason=why)


def _read(path: Path) -> InstallationFile | None:
    try:
        return InstallationFile(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, mark: InstallationFile) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(asdict(mark)), encoding="utf-8")
    draft.replace(path)
