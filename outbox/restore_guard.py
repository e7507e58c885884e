"""Detects a restored or cloned database, whose old rows would be sent twice, and pauses sending until a person resumes
it. Mail that waits in such a database becomes a question (outbox.restored_mail).

For each place (a machine and the path of its data folder), database and data folder both keep a mark and a generation,
which every sweep increments. A database whose generation is lower than the folder's was restored. A place without a row
or without its mark is a clone, or a further host, for which the person confirms once. Hosts that share a folder have a
file each. Backups must leave these files out (docs/operations.md), so that restoring both is detected as well.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db.models import F

from mailbox import logs
from mailbox.models import WorkerHeartbeat
from outbox import restored_mail
from outbox.models import Installation, SendingSwitch

logger = logging.getLogger(__name__)
FILE_NAME = "installation"
BEYOND_ALL_FOLDERS = 1_000_000_000  # a generation grows by a million a year
RESTORED = (
    "the database is older than the data folder, as after a restore. Mail that waited in it needs a decision, as it "
    "may have gone out since the backup; resuming sends only what was queued afterwards"
)
CLONED = (
    "the data folder is not the one this database ran with, as after a restore or in a copy. Resume only where "
    "the other installation no longer sends. Mail that waited needs a decision; resuming sends only what was queued "
    "afterwards"
)
FURTHER = (
    "workers of another host run with this database, and the data folder here is new. Resume if this is a further "
    "host of the same installation; mail that waits then goes out"
)


@dataclass(frozen=True)
class InstallationFile:
    """The contents of this place's file in the data folder."""

    mark: str
    generation: int
    place: str


def suspicion(database: tuple[str, int] | None, folder: InstallationFile | None, place: str, *, is_new: bool) -> str:
    """Why sending must wait for a person; "" if it need not. Pure.

    database: this place's mark and generation, None without a row. is_new: the database has no place at all yet.
    """
    if is_new:
        return ""
    if database is None:
        return CLONED
    mark, generation = database
    if folder is None or folder.mark != mark or folder.place != place:
        return CLONED
    return RESTORED if folder.generation > generation else ""


def this_location() -> str:
    """A digest of machine id and folder. A container without a machine id is identified by its folder alone, since host
    name and address change with each deployment."""
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
    """Compare database and folder; pause all sending if they do not match; then increment the generation in both.

    Returns why sending was paused, or "". Called before workers start, and by each sweep.
    """
    place = this_location()
    path = file_of(place)
    with _alone(path):
        return _check(path, place, now)


def look(now: datetime) -> None:
    """Pause all sending if the database was restored since the last sweep; called before sending between two sweeps.

    One query, and no write while database and folder match.
    """
    place = this_location()
    if _suspicion(Installation.objects.filter(place=place).first(), _read(file_of(place)), place):
        check(now)


def _suspicion(row: Installation | None, folder: InstallationFile | None, place: str) -> str:
    is_new = row is None and not Installation.objects.exclude(place="").exists()
    return suspicion((row.mark, row.generation) if row else None, folder, place, is_new=is_new)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lock the folder: a write of another process between our two reads would look like a restore or a clone."""
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
    if why == CLONED and _runs_elsewhere(now):
        why = FURTHER
    if why:
        pause(why, now)
    if why in (RESTORED, CLONED):
        _ask(place, now)  # before the mark: after a crash the next check finds the same, and asks the rest
    _settle(path, place, row, folder)
    return why


def restored(why: str, now: datetime) -> None:
    """Pause all sending, and make the mail that waits a question, after this process has restored the database.

    A pause that the backup has ended with it: this reason takes its place.
    """
    place = this_location()
    path = file_of(place)
    with _alone(path):
        SendingSwitch.current()
        SendingSwitch.objects.filter(pk=1).update(paused_at=now, paused_by=None, reason=why)
        logs.event(logger, "sending_paused", logging.WARNING, reason=why)
        _ask(place, now)
        _settle(path, place, Installation.objects.filter(place=place).first(), _read(path))


def _ask(place: str, now: datetime) -> None:
    """Make what waits a question, once: what is queued from now on is new, whichever host looks next."""
    restored_mail.ask(now)
    others = Installation.objects.exclude(place=place)
    others.update(generation=F("generation") + BEYOND_ALL_FOLDERS)


def _runs_elsewhere(now: datetime) -> bool:
    """Whether workers of another host use this database now: then it is neither restored nor a copy."""
    return WorkerHeartbeat.objects.alive(now).exclude(host=platform.node() or "localhost").exists()


def _settle(path: Path, place: str, row: Installation | None, folder: InstallationFile | None) -> None:
    """Write this place's mark and its next generation into database and folder."""
    if row is None:
        row = Installation.objects.get_or_create(place=place, defaults={"mark": secrets.token_hex(16)})[0]
    # Beyond the folder's generation too, or a restored database would be detected again at each start.
    known = max(row.generation, folder.generation if folder and folder.mark == row.mark else 0)
    Installation.objects.filter(place=place, generation__lt=known).update(generation=known)
    Installation.objects.filter(place=place).update(generation=F("generation") + 1)
    # The database first: after a crash in between, the folder is behind its database, which does not look restored.
    _write(path, InstallationFile(row.mark, known + 1, place))


def pause(why: str, now: datetime) -> None:
    """Pause all sending until a person resumes it. If it is paused already, that reason stays."""
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
