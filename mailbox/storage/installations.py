"""Which installations use a raw store. While another one does, nothing is swept from it: each would remove what only
the other's database refers to.

An installation is a database, whatever hosts run with it. It leaves a note in the store under a random name, and every
few minutes a new one in its place; the database has the names of all that it left. A note whose name it does not have
is another installation's, or its own of after the backup that it was restored from: a copy of a database knows only the
names of before it was copied. The row is committed before the file is written, and the file is written before others
are looked for. So of two that begin at once at least one finds the other, and soon both do, without a lock or a
conditional PUT, which some servers lack.

Only a person can say that an installation is gone (`manage.py store_users --forget`). One that is not gone leaves its
next note within minutes.
"""

from __future__ import annotations

import errno
import json
import logging
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from mailbox.logs import event, this_host
from mailbox.models import StoreNote
from mailbox.storage.durable_files import raw_stores

logger = logging.getLogger(__name__)
FOLDER = "installations"  # no year, so that no sweep looks into it
EVERY_SECONDS = 300.0  # between two notes of one process
# The name of a note that is in no store is forgotten after this time; until then a suspended process may write it.
KEPT = timedelta(days=2)
RUNNING = timedelta(minutes=15)  # a younger note is of an installation that runs: three times EVERY_SECONDS


@dataclass
class _LastNote:
    at: float = float("-inf")  # by time.monotonic()


_known = _LastNote()


class StillRuns(Exception):
    """The note is too young for its installation to be gone."""


def note_in_time() -> None:
    """Leave a note if this process did not try to for EVERY_SECONDS. Raises nothing, as mail is to be stored anyway.

    Not within a transaction: a row that is rolled back would make the note another's.
    """
    if connection.in_atomic_block or time.monotonic() - _known.at < EVERY_SECONDS:
        return
    _known.at = time.monotonic()
    try:
        note(timezone.now())
    except Exception as error:  # another storage class may raise anything
        event(logger, "store_note_failed", logging.WARNING, error=f"{type(error).__name__}: {error}")


def note(now: datetime) -> list[StoreNote]:
    """Leave this installation's note in each store, remove its older ones, and return those of others.

    A store that takes no new note, as its disk is full, keeps the older one; one that is only read from may be
    read-only and have none. Raises OSError when a store cannot be reached, or else has none of this installation, after
    the other one has its note.
    """
    mine = StoreNote.objects.create(name=secrets.token_hex(16), is_ours=True, host=_who(), written_at=now)
    older = StoreNote.objects.filter(is_ours=True, pk__lt=mine.pk)  # never a newer one, whose host removes this one
    errors: list[OSError] = []
    for number, store in enumerate(raw_stores()):
        try:
            _replace(store, mine.name, older)
        except OSError as error:
            if number and is_read_only(error):
                continue  # of the one that is only read from, of which nothing can be removed either
            errors.append(error)
    if errors:
        raise errors[0]
    there = _all_names()
    older.exclude(name__in=there).filter(written_at__lt=now - KEPT).delete()
    return _write_down(there, now)


def _replace(store: Storage, name: str, older: QuerySet[StoreNote]) -> None:
    try:
        _write(store, name)
    except OSError:
        if older.filter(name__in=_names(store)).exists():
            return
        raise
    for old in older.filter(name__in=_names(store)).values_list("name", flat=True):
        store.delete(f"{FOLDER}/{old}")


def is_alone() -> bool:
    """Whether there are only notes of this installation now. Raises OSError."""
    there = _all_names()
    return StoreNote.objects.filter(is_ours=True, name__in=there).count() == len(there)


def leave(name: str) -> None:
    """Write a note with this name, where it is not there yet: that of a restore, which has no database. Raises
    OSError."""
    for store in raw_stores():
        if not store.exists(f"{FOLDER}/{name}"):
            _write(store, name)


def begin_anew(name: str, now: datetime) -> None:
    """Let this database, which was just restored, know the note that the restore left, and none of before: those are of
    the installation whose backup it is, which may still run."""
    StoreNote.objects.all().delete()
    StoreNote.objects.create(name=name, is_ours=True, host=_who(), written_at=now)


def forget(name: str, now: datetime) -> None:
    """Remove the note of an installation that a person says is gone.

    Raises StillRuns, OSError, and FileNotFoundError where there is no such note of another installation, as it has left
    its next one.
    """
    if name not in {each.name for each in note(now)}:
        raise FileNotFoundError(name)
    ours = set(StoreNote.objects.filter(is_ours=True).values_list("name", flat=True))
    for store in _all_names()[name]:
        # Both by the store's clock, which may differ from this host's.
        newest = max((_written_at(store, each) for each in _names(store) if each in ours), default=now)
        if newest - _written_at(store, name) < RUNNING:
            raise StillRuns(name)
        store.delete(f"{FOLDER}/{name}")
    note(now)


def is_read_only(error: OSError) -> bool:
    """Whether a store refused to be changed at all."""
    return error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)


def _who() -> str:
    return f"{this_host()}:{settings.DATA_DIR}"[:200]


def _write(store: Storage, name: str) -> None:
    store.save(f"{FOLDER}/{name}", ContentFile(json.dumps({"host": _who()}).encode()))


def _names(store: Storage) -> list[str]:
    """The names of all notes in a store, without a file server's own entries."""
    try:
        _, files = store.listdir(FOLDER)
    except FileNotFoundError:
        return []
    return [name for name in files if not name.startswith(".")]


def _all_names() -> dict[str, list[Storage]]:
    """Name of each note -> the stores that have it."""
    there: dict[str, list[Storage]] = {}
    for store in raw_stores():
        for name in _names(store):
            there.setdefault(name, []).append(store)
    return there


def _written_at(store: Storage, name: str) -> datetime:
    when: datetime = store.get_modified_time(f"{FOLDER}/{name}")
    return when


def _write_down(there: dict[str, list[Storage]], now: datetime) -> list[StoreNote]:
    """Write down the notes of others, for pages and incidents. Those that are known already are not read again."""
    ours = set(StoreNote.objects.filter(is_ours=True, name__in=there).values_list("name", flat=True))
    others = {name: stores for name, stores in there.items() if name not in ours}
    StoreNote.objects.filter(is_ours=False).exclude(name__in=others).delete()
    for name, stores in others.items():
        if not StoreNote.objects.filter(name=name).exists():
            says = {"is_ours": False, **_read(stores[0], name, now)}
            StoreNote.objects.get_or_create(name=name[:100], defaults=says)
    return list(StoreNote.objects.filter(is_ours=False).order_by("pk"))


def _read(store: Storage, name: str, now: datetime) -> dict[str, Any]:
    host, written_at = "?", now
    try:
        written_at = _written_at(store, name)
        with store.open(f"{FOLDER}/{name}") as file:
            host = str(json.loads(file.read(10_000))["host"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # replaced just now, or of another kind
        pass
    return {"host": host[:200], "written_at": written_at}
