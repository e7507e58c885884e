"""The raw store: bytes are there when save_batch returns, and go only when nobody needs them."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from mailbox.errors import StorageError
from mailbox.models import RawMessage
from mailbox.storage import raw_store, sweeping

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def location(tmp_path: Path, settings: Any) -> Path:
    settings.STORAGES = settings.STORAGES | {
        "raw": {
            "BACKEND": "mailbox.storage.durable_files.DurableFileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "raw")},
        }
    }
    return tmp_path / "raw"


def segments(location: Path) -> list[Path]:
    return list(location.rglob("*.seg"))


def test_a_batch_is_one_file_and_comes_back_byte_for_byte(location: Path) -> None:
    raws = [b"one", b"", b"\x00\xff" * 1000, b"one"]
    digests = raw_store.save_batch(raws)
    assert [raw_store.open_raw(digest) for digest in digests] == raws
    assert len(segments(location)) == 1


def test_only_we_may_read_what_is_stored(location: Path) -> None:
    raw_store.save_batch([b"secret"])
    (segment,) = segments(location)
    assert segment.stat().st_mode & 0o777 == 0o600
    assert segment.parent.stat().st_mode & 0o077 == 0


def test_known_bytes_are_not_written_again(location: Path) -> None:
    raw_store.save_batch([b"one"])
    raw_store.save_batch([b"one"])
    assert len(segments(location)) == 1


def test_known_bytes_whose_file_was_lost_are_written_again(location: Path) -> None:
    raw_store.save_batch([b"one"])
    segments(location)[0].unlink()
    (digest,) = raw_store.save_batch([b"one"])
    assert raw_store.open_raw(digest) == b"one"


def test_bytes_that_are_missing_or_damaged_are_told(location: Path) -> None:
    (digest,) = raw_store.save_batch([b"one"])
    with pytest.raises(raw_store.RawMissing):
        raw_store.open_raw("0" * 64)
    segments(location)[0].write_bytes(b"two")
    with pytest.raises(raw_store.RawMissing, match="damaged"):
        raw_store.open_raw(digest)


def test_a_disk_that_refuses_is_an_expected_error_and_leaves_no_row(location: Path) -> None:
    location.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="could not be written"):
        raw_store.save_batch([b"one"])
    assert not RawMessage.objects.exists()


def test_the_sweep_leaves_the_young_and_takes_the_old(location: Path) -> None:
    now = timezone.now()
    (old,) = raw_store.save_batch([b"old"], now=now - timedelta(hours=25))
    (young,) = raw_store.save_batch([b"young"], now=now - timedelta(hours=23))
    assert sweeping.sweep(now) == 1
    assert raw_store.open_raw(young) == b"young"
    with pytest.raises(raw_store.RawMissing):
        raw_store.open_raw(old)


def test_storing_again_renews_the_clock() -> None:
    now = timezone.now()
    raw_store.save_batch([b"one"], now=now - timedelta(hours=25))
    raw_store.save_batch([b"one"], now=now)
    assert sweeping.sweep(now) == 0


def test_the_file_goes_when_none_of_its_messages_is_left(location: Path) -> None:
    now = timezone.now()
    raw_store.save_batch([b"one", b"two"], now=now)
    sweeping.sweep(now + timedelta(hours=25))
    assert not segments(location)


# --- What is stored already, and damaged ------------------------------------------------------------------------
def test_known_bytes_whose_file_was_cut_are_written_again(location: Path) -> None:
    raw_store.save_batch([b"one", b"two", b"three"])
    segments(location)[0].write_bytes(b"onetw")
    digests = raw_store.save_batch([b"one", b"two", b"three"])
    assert [raw_store.open_raw(digest) for digest in digests] == [b"one", b"two", b"three"]
    assert sorted(path.stat().st_size for path in segments(location)) == [5, 8]  # "one" was whole


def test_a_file_of_the_right_length_and_the_wrong_bytes_is_found_where_it_is_asked_to_be_proven(
    location: Path,
) -> None:
    raw_store.save_batch([b"one"])
    segments(location)[0].write_bytes(b"eno")
    assert not raw_store.is_sound(raw_store.digest_of(b"one"))
    (digest,) = raw_store.save_batch([b"one"], prove=True)
    assert raw_store.open_raw(digest) == b"one"
    assert raw_store.is_sound(digest)


def test_two_workers_of_whom_the_other_wrote_a_file_that_is_short(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is there, as it was first; its bytes are not."""
    write = raw_store._write_segment

    def other_first(missing: dict[str, bytes], now: datetime) -> list[raw_store.StoredRaw]:
        monkeypatch.setattr(raw_store, "_write_segment", write)
        raw_store.save_batch([b"one"])
        segments(location)[0].write_bytes(b"o")
        return write(missing, now)

    monkeypatch.setattr(raw_store, "_write_segment", other_first)
    (digest,) = raw_store.save_batch([b"one"])
    assert raw_store.open_raw(digest) == b"one"


# --- A day between the bytes and their rows ----------------------------------------------------------------------
def test_what_is_kept_is_not_swept() -> None:
    now = timezone.now()
    (digest,) = raw_store.save_batch([b"one"], now=now - timedelta(hours=25))
    raw_store.reference([digest], now)
    assert sweeping.sweep(now) == 0


def test_a_worker_whose_clock_is_behind_keeps_by_the_databases(location: Path) -> None:
    now = timezone.now()
    (digest,) = raw_store.save_batch([b"one"], now=now - timedelta(days=400))
    raw_store.reference([digest], now - timedelta(days=400))
    assert sweeping.sweep(now) == 0
    assert raw_store.open_raw(digest) == b"one"


def test_what_was_swept_meanwhile_is_not_kept(location: Path) -> None:
    now = timezone.now()
    digests = raw_store.save_batch([b"one", b"two"], now=now - timedelta(hours=25))
    RawMessage.objects.filter(digest=digests[1]).update(stored_at=now)
    sweeping.sweep(now)
    with pytest.raises(raw_store.RawSwept):
        raw_store.reference(digests, now)


def test_asleep_for_a_day_between_the_file_and_its_index_rows(location: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep of that day took a file that no row named."""
    index, now = raw_store._index, timezone.now()

    def after_a_day(*arguments: Any) -> None:
        monkeypatch.setattr(raw_store, "_index", index)
        for path in segments(location):
            os.utime(path, (0, 0))
        sweeping.sweep(now)
        assert not segments(location)
        index(*arguments)

    monkeypatch.setattr(raw_store, "_index", after_a_day)
    (digest,) = raw_store.save_batch([b"one"], now=now)
    assert raw_store.open_raw(digest) == b"one"
