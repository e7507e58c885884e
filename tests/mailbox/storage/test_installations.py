"""Two installations on one raw store: neither removes what the other's database refers to, whatever made them two."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from alerts.problems import installation
from mailbox.models import RawMessage, StoreNote
from mailbox.storage import installations, raw_store, sweeping
from mailbox.storage.durable_files import raw_storage
from prx_email_site.settings.raw_store import S3, raw_storage_of
from tests.commands import Run
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.django_db
TWO_DAYS = timedelta(days=2)


class Site:
    """An installation: its rows are in the tables while one is `in` it. All sites of a test have one store."""

    def __init__(self) -> None:
        self.rows: dict[type[Any], list[Any]] = {StoreNote: [], RawMessage: []}

    @contextmanager
    def here(self) -> Iterator[None]:
        for model, rows in self.rows.items():
            model.objects.all().delete()
            model.objects.bulk_create(rows)
        yield
        self.rows = {model: list(model.objects.all()) for model in self.rows}

    def copy(self) -> Site:
        """As a restored backup or a cloned machine begins."""
        copied = Site()
        copied.rows = {model: list(rows) for model, rows in self.rows.items()}
        return copied

    def note(self) -> list[StoreNote]:
        with self.here():
            return installations.note(timezone.now())

    def store(self, raw: bytes) -> str:
        with self.here():
            return raw_store.save_batch([raw])[0]

    def sweep(self, after: timedelta = TWO_DAYS) -> int:
        with self.here():
            return sweeping.sweep(timezone.now() + after)

    def reads(self, digest: str) -> bool:
        with self.here():
            return raw_store.is_sound(digest)


@pytest.fixture
def folder(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRX_EMAIL_RAW_DIR", str(tmp_path / "shared"))
    settings.STORAGES = {**settings.STORAGES, "raw": raw_storage_of(tmp_path / "data")}
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path / "shared"


@pytest.fixture
def bucket(s3_server: S3Server, clients: dict[float, Any], settings: Any, tmp_path: Path) -> S3Server:
    s3_server.clear(clients[60])
    settings.STORAGES = {**settings.STORAGES, "raw": {"BACKEND": S3, "OPTIONS": s3_server.options}}
    settings.DATA_DIR = tmp_path / "data"
    return s3_server


@pytest.fixture(params=["folder", "bucket"])
def one_store(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(request.param)


def are_kept(*sites_with_mail: tuple[Site, str]) -> bool:
    """Whether each mail is still read after all these sites have swept, twice, days later."""
    for days in (2, 4):
        for site, _ in sites_with_mail:
            assert site.sweep(timedelta(days=days)) == 0
    return all(site.reads(digest) for site, digest in sites_with_mail)


def test_two_sites_on_one_store_sweep_nothing_of_each_other(one_store: None) -> None:
    here, there = Site(), Site()
    assert (here.note(), [each.is_ours for each in there.note()]) == ([], [False])
    mail = [(here, here.store(b"mail of the one")), (there, there.store(b"mail of the other"))]
    assert are_kept(*mail)


def test_one_site_alone_sweeps(one_store: None) -> None:
    site = Site()
    digest = site.store(b"forgotten")
    assert (site.sweep(), site.reads(digest)) == (1, False)
    assert (site.sweep(timedelta(days=4)), site.note()) == (0, [])


def test_of_two_that_begin_at_once_each_finds_the_other(one_store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both write before either looks, and one writes and looks between the other's write and look."""
    here, there, found = Site(), Site(), list[list[StoreNote]]()
    names = installations._all_names

    def after_the_other() -> Any:
        monkeypatch.setattr(installations, "_all_names", names)
        ours = list(StoreNote.objects.all())
        found.append(there.note())
        StoreNote.objects.all().delete()
        StoreNote.objects.bulk_create(ours)
        return names()

    monkeypatch.setattr(installations, "_all_names", after_the_other)
    found.append(here.note())
    assert [len(others) for others in found] == [1, 1]


def test_a_restored_database_and_the_one_that_was_backed_up_keep_each_others_mail(one_store: None) -> None:
    site = Site()
    old = site.store(b"in the backup")
    site.note()
    restored = site.copy()
    site.note()  # it runs on
    late = site.store(b"since the backup")
    assert len(restored.note()) == 1
    assert are_kept((restored, old), (site, late), (restored, restored.store(b"since the restore")))


def test_a_database_restored_where_the_old_one_is_gone_asks_before_it_sweeps_what_came_since_the_backup(
    one_store: None,
) -> None:
    site = Site()
    site.note()
    restored = site.copy()
    site.note()
    late = site.store(b"since the backup, and gone from its server")
    assert restored.sweep() == 0
    assert site.reads(late)


def test_a_machine_that_was_cloned_with_all_it_had_is_found_by_the_first_note_of_either(one_store: None) -> None:
    site = Site()
    site.note()
    mail = site.store(b"of both")
    clone = site.copy()
    assert site.note() == []
    assert len(clone.note()) == 1
    assert len(site.note()) == 1
    assert are_kept((site, mail), (clone, mail))


def test_hosts_of_one_installation_are_one_whatever_the_order_of_their_notes(
    one_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host's note comes between this one's row, its file and its look; one note is there at each moment."""
    write, names, seen = installations._write, installations._names, list[int]()

    def by_two(step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any) -> Any:
            with monkeypatch.context() as patch:
                patch.setattr(installations, "_write", write)
                patch.setattr(installations, "_names", names)
                assert installations.note(timezone.now()) == []
                seen.append(len(names(raw_storage())))
            return step(*arguments)

        return stepped

    monkeypatch.setattr(installations, "_write", by_two(write))
    monkeypatch.setattr(installations, "_names", by_two(names))
    assert installations.note(timezone.now()) == []
    assert len(seen) == 3 and min(seen) >= 1
    assert names(raw_storage())


def test_nothing_is_removed_while_the_store_cannot_say_whose_notes_it_has(bucket: S3Server) -> None:
    site = Site()
    digest = site.store(b"forgotten")
    bucket.always = "denied"
    with pytest.raises(OSError, match="AccessDenied"):
        site.sweep()
    bucket.always = ""
    assert RawMessage.objects.filter(digest=digest).exists()
    assert site.reads(digest)


def test_nothing_is_removed_where_no_note_can_be_left(folder: Path) -> None:
    site = Site()
    digest = site.store(b"forgotten")
    (folder / installations.FOLDER).write_text("no folder")
    with pytest.raises(OSError, match="installations"):
        site.sweep()
    assert site.reads(digest)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"host": {}}', b"\xff" * 20_000])
def test_a_note_that_cannot_be_read_is_anothers(folder: Path, content: bytes) -> None:
    installations.note(timezone.now())
    (folder / installations.FOLDER / "theirs").write_bytes(content)
    (folder / installations.FOLDER / ".nfs0001").write_bytes(b"a file server's own")
    assert [each.name for each in installations.note(timezone.now())] == ["theirs"]
    assert sweeping.sweep(timezone.now() + TWO_DAYS) == 0


def test_a_sweep_ends_when_another_installation_comes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, other = Site(), Site()
    kept = site.store(b"a copy will need this")
    old_files = sweeping.old_files

    def comes(*arguments: Any) -> Iterator[tuple[str, int]]:
        for found in old_files(*arguments):
            rows = list(StoreNote.objects.all())
            other.note()
            StoreNote.objects.all().delete()
            StoreNote.objects.bulk_create(rows)
            yield found

    monkeypatch.setattr(sweeping, "old_files", comes)
    monkeypatch.setattr(sweeping, "ALONE_SECONDS", 0.0)
    segment = RawMessage.objects.get(digest=kept).segment
    site.sweep()
    assert (folder / segment).exists()


@pytest.mark.django_db(transaction=True)
def test_a_process_leaves_its_note_before_the_first_mail_that_it_stores(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installations._known, "at", float("-inf"))
    raw_store.save_batch([b"one"])
    (note,), (mail,) = list((folder / installations.FOLDER).iterdir()), list(folder.rglob("*.seg"))
    assert note.stat().st_mtime_ns <= mail.stat().st_mtime_ns
    raw_store.save_batch([b"two"])
    assert [note] == list((folder / installations.FOLDER).iterdir())


@pytest.mark.django_db(transaction=True)
def test_mail_is_stored_where_no_note_can_be_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installations._known, "at", float("-inf"))
    folder.mkdir()
    (folder / installations.FOLDER).write_text("no folder")
    (digest,) = raw_store.save_batch([b"one"])
    assert raw_store.is_sound(digest)


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


def test_the_names_of_notes_that_are_gone_are_forgotten_after_days_only(folder: Path) -> None:
    now = timezone.now()
    for minutes in range(0, 60, 5):
        installations.note(now + timedelta(minutes=minutes))
    assert StoreNote.objects.count() == 12
    installations.note(now + timedelta(days=3))
    assert StoreNote.objects.count() == 1
    assert len(list((folder / installations.FOLDER).iterdir())) == 1


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


def test_a_full_disk_is_swept_by_who_left_its_note_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing would ever make room on it."""

    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    site = Site()
    site.store(b"forgotten")
    site.note()
    monkeypatch.setattr(raw_storage(), "_save", full)
    assert site.sweep() == 1
    assert not list(folder.rglob("*.seg"))
