"""Two installations on one raw store: neither removes what the other's database refers to, whatever made them two."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from mailbox.models import RawMessage, StoreNote
from mailbox.storage import installations, raw_store, sweeping
from mailbox.storage.durable_files import raw_storage
from tests.mailbox.storage.one_store import TWO_DAYS, Site, bucket, folder, one_store
from tests.servers.s3 import S3Server

__all__ = ["bucket", "folder", "one_store"]
pytestmark = pytest.mark.django_db


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


def test_the_names_of_notes_that_are_gone_are_forgotten_after_days_only(folder: Path) -> None:
    now = timezone.now()
    for minutes in range(0, 60, 5):
        installations.note(now + timedelta(minutes=minutes))
    assert StoreNote.objects.count() == 12
    installations.note(now + timedelta(days=3))
    assert StoreNote.objects.count() == 1
    assert len(list((folder / installations.FOLDER).iterdir())) == 1


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


def test_a_note_is_forgotten_in_a_store_that_has_none_of_ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is only read from and takes none."""
    monkeypatch.setattr(installations, "_replace", lambda *_: None)
    (folder / installations.FOLDER).mkdir(parents=True)
    (folder / installations.FOLDER / "theirs").write_text("{}")
    with pytest.raises(installations.StillRuns):
        installations.forget("theirs", timezone.now())
    installations.forget("theirs", timezone.now() + timedelta(hours=1))
    assert installations.note(timezone.now()) == []
