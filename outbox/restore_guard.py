"""Is this still the same installation? After a restore or a clone, old rows would go out twice: sending waits then.

The database and the data folder each keep the installation's mark and a number that every sweep raises, and the folder
also says on which machine and under which path it was. A database that is behind its folder was restored; a folder
without the mark, or elsewhere than it was, belongs to a clone. Whoever backs up the folder leaves the mark out of the
backup (docs/operations.md), so that restoring both is noticed as well.
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
class Mark:
    """What the data folder knows."""

    mark: str
    generation: int
    place: str


def suspicion(database: tuple[str, int] | None, folder: Mark | None, place: str) -> str:
    """Why sending must wait for a person, or "". Pure. `database`: its mark and generation, None when it is new."""
    if database is None:
        return ""
    mark, generation = database
    if folder is None or folder.mark != mark or folder.place != place:
        return CLONED
    return RESTORED if folder.generation > generation else ""


def this_place() -> str:
    """The machine and the folder, as a digest. A container without a machine id is known by the folder alone: its
    host name and network address change at each deployment, which is no clone."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = ""
    where = f"{machine}:{Path(settings.DATA_DIR).resolve()}"
    return hashlib.sha256(where.encode()).hexdigest()


def check(now: datetime) -> str:
    """Compare, pause all sending when the two do not belong together, and raise the number in both.

    Returns why it was paused, or "". Runs before the workers start and at each sweep.
    """
    path = Path(settings.DATA_DIR) / FILE_NAME
    with _alone(path):
        return _check(path, this_place(), now)


def look(now: datetime) -> None:
    """Before something is sent between two sweeps: pause all sending when the database was restored meanwhile.

    Costs one query and writes nothing as long as all is well.
    """
    folder = _read(Path(settings.DATA_DIR) / FILE_NAME)
    row = Installation.objects.filter(pk=1).first()
    if suspicion((row.mark, row.generation) if row else None, folder, this_place()):
        check(now)


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
    row = Installation.objects.filter(pk=1).first()
    why = suspicion((row.mark, row.generation) if row else None, folder, place)
    if why:
        _pause(why, now)
    if row is None:
        row = Installation.objects.get_or_create(pk=1, defaults={"mark": secrets.token_hex(16)})[0]
    # Past the folder's number, or a restored database would be found restored again at each start.
    known = max(row.generation, folder.generation if folder and folder.mark == row.mark else 0)
    Installation.objects.filter(pk=1, generation__lt=known).update(generation=known)
    Installation.objects.filter(pk=1).update(generation=F("generation") + 1)
    # The database first: a folder that is behind its database proves nothing, and a crash in between is no restore.
    _write(path, Mark(row.mark, known + 1, place))
    return why


def _pause(why: str, now: datetime) -> None:
    SendingSwitch.current()
    if SendingSwitch.objects.filter(pk=1, paused_at=None).update(paused_at=now, paused_by=None, reason=why):
        logs.event(logger, "sending_paused", logging.WARNING, reason=why)


def _read(path: Path) -> Mark | None:
    try:
        return Mark(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, mark: Mark) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(asdict(mark)), encoding="utf-8")
    draft.replace(path)
