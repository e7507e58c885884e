"""One folder for all hosts (PRX_EMAIL_RAW_DIR), by way of a file server that knows no locks."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from mailbox.models import RawMessage
from mailbox.storage import durable_files, installations, local_copies, raw_store, sweeping
from prx_email_site.settings.raw_store import raw_storage_of
from tests.servers.forked import Forked

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRX_EMAIL_RAW_DIR", str(tmp_path / "shared"))
    settings.STORAGES = {**settings.STORAGES, "raw": raw_storage_of(tmp_path / "data")}
    settings.DATA_DIR = tmp_path / "data"
    settings.RAW_CACHE_BYTES = 100
    return tmp_path / "shared"


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_folder_without_locks_stores_and_only_we_may_read_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    (digest,) = raw_store.save_batch([b"one"])
    assert raw_store.open_raw(digest) == b"one"
    (segment,) = folder.rglob("*.seg")
    modes = {path.stat().st_mode & 0o777 for path in segment.parents if path.is_relative_to(folder)}
    assert (segment.stat().st_mode & 0o777, modes) == (0o600, {0o700})


def test_a_folder_whose_names_cannot_be_made_durable_by_themselves_is_used_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIFS answers EINVAL to fsync(2) of a folder."""
    fsync = durable_files.os.fsync

    def of_files(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(durable_files.os, "fsync", of_files)
    (digest,) = raw_store.save_batch([b"one"])
    assert raw_store.open_raw(digest) == b"one"


def test_a_disk_that_is_full_by_the_time_of_its_fsync_stores_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(durable_files.os, "fsync", full)
    with pytest.raises(raw_store.StorageError, match="quota"):
        raw_store.save_batch([b"one"])
    assert not RawMessage.objects.exists() and not list(folder.rglob("*.seg"))


def test_a_name_that_is_taken_keeps_its_file(folder: Path) -> None:
    storage: Any = durable_files.raw_storage()
    storage._save("2026/01/01/a.seg", durable_files.Segment([b"ours"]))
    with pytest.raises(FileExistsError):
        storage._save("2026/01/01/a.seg", durable_files.Segment([b"theirs"]))
    assert storage.read_part("2026/01/01/a.seg", 0, 99) == b"ours"


def test_a_file_that_another_host_removes_while_it_is_swept_is_no_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_store.save_batch([b"one"])
    raw_store.save_batch([b"two"])
    storage: Any = durable_files.raw_storage()
    asked = type(storage).get_modified_time

    def removed_first(self: Any, name: str) -> Any:
        Path(storage.path(name)).unlink()
        monkeypatch.setattr(type(storage), "get_modified_time", asked)
        return asked(self, name)

    monkeypatch.setattr(type(storage), "get_modified_time", removed_first)
    assert sweeping.sweep(timezone.now() + timedelta(hours=25)) == 2
    assert not list(folder.rglob("*.seg"))


def test_what_the_file_server_shows_beside_our_files_is_left_alone(folder: Path) -> None:
    raw_store.save_batch([b"one"])
    (segment,) = folder.rglob("*.seg")
    for theirs in (folder / ".snapshot/2026/a.seg", folder / "lost+found/b", segment.parent / ".nfs00012"):
        theirs.parent.mkdir(parents=True, exist_ok=True)
        theirs.touch()
    sweeping.sweep(timezone.now() + timedelta(hours=25))
    shutil.rmtree(folder / installations.FOLDER)
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"a.seg", "b", ".nfs00012"}


# --- Large messages: mapped from this host's own disk -------------------------------------------------------------
@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest of one that counts as large."""
    monkeypatch.setattr(raw_store, "MAPPED_FROM", 50)
    monkeypatch.setattr(durable_files.raw_storage(), "copied_from", 50)
    monkeypatch.setattr(raw_store, "PIECES", 16)
    return raw_store.save_batch([b"small", b"large" * 12])[1]


def test_a_large_message_is_mapped_from_a_copy_and_outlasts_its_file(large: str, folder: Path) -> None:
    mapped, path = raw_store.map_raw(large)
    assert isinstance(mapped, mmap.mmap) and Path(path).is_relative_to(local_copies.folder())
    for segment in folder.rglob("*.seg"):
        segment.write_bytes(b"")  # a page of it that is read now would be the end of this process
    assert bytes(mapped) == b"large" * 12
    assert raw_store.map_raw(large)[1] == path
    assert not raw_store.is_sound(large)  # that looks at the store itself


def test_a_damaged_copy_is_fetched_again(large: str) -> None:
    path = Path(raw_store.map_raw(large)[1])
    path.write_bytes(b"L" + path.read_bytes()[1:])
    assert bytes(raw_store.map_raw(large)[0]) == b"large" * 12


@pytest.mark.parametrize("spoil", ["no room", "no folder"])
def test_without_room_for_a_copy_a_large_message_is_read_into_memory(
    large: str, spoil: str, settings: Any, tmp_path: Path
) -> None:
    if spoil == "no room":
        settings.RAW_CACHE_BYTES = 0
    else:
        local_copies.folder().parent.mkdir(exist_ok=True)
        local_copies.folder().touch()
    assert raw_store.map_raw(large) == (b"large" * 12, "")


def test_copies_go_when_there_are_too_many_and_a_day_after_their_last_use(settings: Any) -> None:
    now, settings.RAW_CACHE_BYTES = time.time(), 10_000
    for age, letter in enumerate((b"a", b"b", b"c")):
        path = local_copies.store(raw_store.digest_of(letter * 40), 40, [letter * 40])
        assert path is not None
        os.utime(path, (now - age, now - age))
    settings.RAW_CACHE_BYTES = 100
    assert local_copies.sweep(now) == 1
    left = [local_copies.read(raw_store.digest_of(letter * 40)) for letter in (b"a", b"b", b"c")]
    assert left == [b"a" * 40, b"b" * 40, None]
    assert local_copies.sweep(time.time() + 86_400 + 60) == 2


# --- Two hosts ----------------------------------------------------------------------------------------------------
ON_A_HOST = """
import errno, fcntl, mmap, platform, sys, time
from datetime import timedelta
from django.conf import settings
from django.utils import timezone
host, other, folder = sys.argv[1:]
def refuse(*_, **__): raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = fcntl.lockf = mmap.mmap = refuse
platform.node = lambda: host
settings.DATA_DIR = settings.BASE_DIR.__class__(folder)
settings.STORAGES["raw"] = {
    "BACKEND": "mailbox.storage.durable_files.DurableFileSystemStorage",
    "OPTIONS": {"location": folder + "/shared", "shared": True},
}
from mailbox.models import RawMessage
from mailbox.storage import raw_store, sweeping
batch = lambda name, number: [f"{name} {number} {part}".encode() for part in range(3)] + [b"of both %d" % number]
for number in range(12):
    raw_store.save_batch(batch(host, number))
end = time.monotonic() + 60
for number in range(12):
    for raw in batch(host, number) + batch(other, number):
        while not RawMessage.objects.filter(digest=raw_store.digest_of(raw)).exists():
            assert time.monotonic() < end
        assert raw_store.open_raw(raw_store.digest_of(raw)) == raw
open(f"{folder}/{host}", "w").close()
from pathlib import Path
while not Path(folder, other).exists():
    assert time.monotonic() < end
sweeping.sweep(timezone.now() + timedelta(hours=25))
"""


@pytest.mark.django_db(transaction=True)
def test_two_hosts_write_read_and_sweep_one_folder(tmp_path: Path, folder: Path) -> None:
    hosts = [Forked(ON_A_HOST, *names, tmp_path) for names in (("one", "two"), ("two", "one"))]
    assert [host.wait() for host in hosts] == [0, 0]
    assert not RawMessage.objects.exists()
    assert not list(folder.rglob("*.seg"))
