"""A person is told that another installation uses the raw store, and says when it is gone."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from alerts.problems import installation
from mailbox.models import StoreNote
from mailbox.storage import installations, raw_store, sweeping
from tests.commands import Run
from tests.mailbox.storage.one_store import TWO_DAYS, Site, folder

__all__ = ["folder"]
pytestmark = pytest.mark.django_db


def grown_old(folder: Path, name: str, by: timedelta = timedelta(minutes=20)) -> None:
    then = time.time() - by.total_seconds()
    os.utime(folder / installations.FOLDER / name, (then, then))


def test_a_person_says_that_the_old_installation_is_gone_and_the_sweep_goes_on(
    folder: Path, run: Run, settings: Any
) -> None:
    old, new = Site(), Site()
    settings.DATA_DIR = Path("/srv/old")
    old.note()
    settings.DATA_DIR = Path("/srv/new")
    with new.here():
        assert run("store_users")[0] == 1
        (theirs,) = StoreNote.objects.filter(is_ours=False)
        assert theirs.host.endswith(":/srv/old")
        grown_old(folder, theirs.name)
        assert run("store_users", "--forget", theirs.name) == (0, {"ok": True, "data": [], "error": None})
        raw_store.save_batch([b"forgotten"])
        assert sweeping.sweep(timezone.now() + TWO_DAYS) == 1


def test_an_installation_that_runs_is_not_forgotten(folder: Path, run: Run) -> None:
    old, new = Site(), Site()
    old.note()
    with new.here():
        (theirs,) = installations.note(timezone.now())
        status, said = run("store_users", "--forget", theirs.name)
        assert (status, said["error"]["code"]) == (1, "Validation")
        assert (folder / installations.FOLDER / theirs.name).exists()
        assert run("store_users", "--forget", "f" * 32)[0] == 1


def test_an_installation_that_was_forgotten_and_runs_again_is_found_again(folder: Path) -> None:
    old, new = Site(), Site()
    old.note()
    needed = old.store(b"needed")
    (theirs,) = new.note()
    grown_old(folder, theirs.name)
    with new.here():
        installations.forget(theirs.name, timezone.now())
    assert len(old.note()) == 1  # it runs again
    assert (new.sweep(), old.sweep(), old.reads(needed)) == (0, 0, True)


def test_an_incident_says_who_else_uses_the_store(folder: Path, settings: Any) -> None:
    settings.DATA_DIR = Path("/srv/other")
    Site().note()
    settings.DATA_DIR = folder.parent / "data"
    Site().note()
    (problem,) = [each for each in installation.find(timezone.now()) if each.key == "store-shared"]
    assert "/srv/other" in problem.sentence and "manage.py store_users" in problem.sentence


def test_a_site_alone_has_no_such_incident(folder: Path) -> None:
    installations.note(timezone.now())
    assert "store-shared" not in {each.key for each in installation.find(timezone.now())}
