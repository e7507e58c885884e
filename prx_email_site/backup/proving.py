"""Proves that a backup can be restored: another process restores it into a scratch installation and checks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from mailbox.models import RestoreProof
from prx_email_site import environment as env
from prx_email_site.backup import databases, manifest, restoring, room
from prx_email_site.backup.faults import BackupFault, SegmentMissing, ToolFailed
from prx_email_site.backup.looking_through import SCRATCH
from prx_email_site.backup.manifest import Backup, Manifest
from prx_email_site.backup.stores import FolderStore
from prx_email_site.local_files.scratch_folders import scratch_folder

# The environment's variables that the scratch installation does not get; it has its own, or reads the backup instead.
NOT_HANDED_ON = (
    *("DATABASE_URL", "PRX_EMAIL_ENCRYPTION_KEYS", "PRX_EMAIL_DATA_DIR", "PRX_EMAIL_RAW_STORAGE"),
    *("PRX_EMAIL_RAW_DIR", "PRX_EMAIL_RAW_ALSO_READ"),
    *("PRX_EMAIL_BROKER_URL", "PRX_EMAIL_STATIC_ROOT", "PRX_EMAIL_SECRET_KEY", "PRX_EMAIL_LOCALE_DIR"),
)


def prove(target: str | Path, now: datetime, identity: Path | None = None) -> RestoreProof:
    """Restore a backup in a scratch installation, check it, and save the result for the dashboard and the alerts.

    Faults of the backup are in the result and are not raised.
    """
    proof = RestoreProof(proven_at=now)
    try:
        backup = manifest.find(target, identity)
        stated = backup.read()
        proof.backup_at = stated.made_at
        restoring.check_schema(stated)
        restoring.check_keys(stated)
        _check_list(backup, stated)
        restoring.check_dump(backup, stated)
        restoring.check_files(backup, stated)
        _note(proof, _in_scratch(backup, stated, now))
    except BackupFault as fault:
        proof.fault, proof.detail = type(fault).__name__, str(fault)[:500]
    except OSError as error:
        proof.fault, proof.detail = "Unreadable", f"Unreadable: {error}"[:500]
    RestoreProof.note(proof)
    return proof


def _check_list(backup: Backup, stated: Manifest) -> None:
    """Raise SegmentMissing if the store lacks a segment. The scratch installation reads their bytes later."""
    folder = f"{backup.folder}{manifest.RAW}"
    there = backup.store.sizes(folder)
    for each in stated.segments:
        if f"{folder}/{each.path}" not in there:
            raise SegmentMissing(f"{each.path} is not in the backup.")


def _note(proof: RestoreProof, said: dict[str, Any]) -> None:
    proof.messages, proof.missing = said["messages"], said["missing"]
    proof.fault, proof.detail = said["fault"], said["detail"][:500]


def _in_scratch(backup: Backup, stated: Manifest, now: datetime) -> dict[str, Any]:
    with scratch_folder("proof") as folder:
        is_copied = bool(backup.listing.recipients) or not isinstance(backup.store, FolderStore)
        size = stated.database.size
        room.demand(folder, databases.room_to_load(size) + (size if is_copied else 0))
        (folder / SCRATCH).touch()
        with _scratch_url(folder, now) as url:
            keys = ",".join(settings.ENCRYPTION_KEYS)
            return _run(backup, folder, {"DATABASE_URL": url, "PRX_EMAIL_ENCRYPTION_KEYS": keys})


@contextmanager
def _scratch_url(folder: Path, now: datetime) -> Iterator[str]:
    if connection.vendor == "sqlite":
        yield f"sqlite:///{folder / 'scratch.sqlite3'}"
        return
    with databases.scratch_database(now) as name:
        yield urlsplit(env.text("DATABASE_URL"))._replace(path=f"/{name}").geturl()


def _run(backup: Backup, folder: Path, hidden: dict[str, str]) -> dict[str, Any]:
    """Run `manage.py prove --in-scratch` and return its JSON. Raises ToolFailed.

    hidden: variables with secrets, which are passed in files (NAME_FILE) that are in memory only: on a disk they would
    stay when this process is killed.
    """
    environment = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in NOT_HANDED_ON}
    environment["PRX_EMAIL_DATA_DIR"] = str(folder)
    # It ends with this process, whose folder and database it works in.
    command = [sys.executable, "-m", "prx_email_site.parent_death", str(os.getpid()), sys.executable]
    command += ["manage.py", "prove", str(backup), "--in-scratch"]
    command += ["--identity", str(backup.identity.resolve())] if backup.identity else []
    with ExitStack() as stack:
        files = {name: stack.enter_context(_in_memory(value)) for name, value in hidden.items()}
        environment |= {f"{name}_FILE": f"/proc/self/fd/{each}" for name, each in files.items()}
        done = subprocess.run(  # noqa: S603
            command, cwd=settings.BASE_DIR, env=environment, pass_fds=[*files.values()], capture_output=True, text=True
        )
    try:
        said: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError as error:
        raise ToolFailed(f"The scratch installation ended: {done.stderr.strip()[-400:]}") from error
    return said


@contextmanager
def _in_memory(text: str) -> Iterator[int]:
    """A context with the descriptor of a file in memory that holds this text."""
    descriptor = os.memfd_create("secret")
    try:
        os.write(descriptor, text.encode())
        yield descriptor
    finally:
        os.close(descriptor)
