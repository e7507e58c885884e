"""The raw store: bytes are there when save_batch returns, and go only when nobody needs them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from mailbox.errors import StorageError
from mailbox.models import RawMessage
from mailbox.storage import raw_store

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def location(tmp_path: Path, settings: Any) -> Path:
    settings.STORAGES = settings.STORAGES | {
        "raw": {
            "BACKEND": "mailbox.storage.raw_store.DurableFileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "raw")},
        }
    }
    return tmp_path / "raw"


def segments(location: Path) -> list[Path]:
    return [path for path in location.rglob("*") if path.is_file()]


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
    assert raw_store.sweep(now) == 1
    assert raw_store.open_raw(young) == b"young"
    with pytest.raises(raw_store.RawMissing):
        raw_store.open_raw(old)


def test_storing_again_renews_the_clock() -> None:
    now = timezone.now()
    raw_store.save_batch([b"one"], now=now - timedelta(hours=25))
    raw_store.save_batch([b"one"], now=now)
    assert raw_store.sweep(now) == 0


def test_the_file_goes_when_none_of_its_messages_is_left(location: Path) -> None:
    now = timezone.now()
    raw_store.save_batch([b"one", b"two"], now=now)
    raw_store.sweep(now + timedelta(hours=25))
    assert not segments(location)
