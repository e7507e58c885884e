"""The raw store on S3, against a real server that fails when it is told to."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from mailbox.errors import StorageError
from mailbox.models import Account, RawMessage, SyncRun
from mailbox.storage import installations, local_copies, object_store, raw_store, store_check, sweeping
from mailbox.storage.durable_files import raw_storage
from mailbox.tasks import sync as sync_tasks
from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from outbox.tasks import delivery as delivery_tasks
from prx_email_site.environment import SettingError
from prx_email_site.settings import raw_store as raw_store_settings
from tests.rows import NOWHERE
from tests.servers.s3 import BUCKET, KEYS_REFUSED, S3Server

pytestmark = [pytest.mark.wire, pytest.mark.django_db]
FAULTS = ["busy", "reset", "unanswered", "silent"]


@pytest.fixture
def s3(s3_server: S3Server, clients: dict[float, Any], settings: Any, tmp_path: Path) -> S3Server:
    """The raw store is in this server's bucket."""
    raw = {"BACKEND": raw_store_settings.S3, "OPTIONS": s3_server.options}
    settings.STORAGES, settings.DATA_DIR = {**settings.STORAGES, "raw": raw}, tmp_path
    use(clients[60])
    s3_server.clear(clients[60])
    return s3_server


def use(client: Any) -> None:
    storage: Any = raw_storage()
    storage._made = (os.getpid(), client)


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)


def objects(s3: S3Server) -> list[bytes]:
    """What the bucket has, but for the note of who uses it."""
    client = raw_storage().client  # type: ignore[attr-defined]
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]
    mail = [key for key in keys if f"/{installations.FOLDER}/" not in key]
    return [client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in mail]


def test_a_batch_is_one_object_and_a_message_is_read_by_its_range(s3: S3Server) -> None:
    raws = [b"one", b"", b"\x00\xff" * 1000, b"one"]
    digests = raw_store.save_batch(raws)
    assert [each.split()[0] for each in s3.asked] == ["PUT", "HEAD"]
    s3.asked.clear()
    assert [raw_store.open_raw(digest) for digest in digests] == raws
    segment = RawMessage.objects.values_list("segment", flat=True).distinct().get()
    assert s3.asked == [f"GET /mail/raw/{segment} bytes={where}" for where in ("0-2", "3-2002")]
    assert objects(s3) == [b"one" + b"\x00\xff" * 1000]


@pytest.mark.parametrize("fault", ["reset", *KEYS_REFUSED])
def test_what_was_read_is_read_from_here_while_the_server_is_away_and_proven(s3: S3Server, fault: str) -> None:
    digest, other = raw_store.save_batch([b"one", b"two"])
    assert raw_store.open_raw(digest) == b"one"
    s3.always = fault
    with pytest.raises(OSError):
        raw_storage().exists(RawMessage.objects.values_list("segment", flat=True)[0])  # it does not say that it is not
    assert raw_store.open_raw(digest) == b"one"
    with pytest.raises(raw_store.RawOutOfReach):
        raw_store.open_raw(other)
    s3.always = ""
    (copy,) = local_copies.folder().rglob(digest)
    copy.write_bytes(b"eno")
    assert raw_store.open_raw(digest) == b"one"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_write_that_fails_once_is_tried_again_and_is_one_object(
    s3: S3Server, fault: str, clients: dict[float, Any]
) -> None:
    s3.faults = [fault]
    use(clients[2 if fault == "silent" else 60])
    (digest,) = raw_store.save_batch([b"one"])
    s3.released.set()
    assert raw_store.open_raw(digest) == b"one"
    assert objects(s3) == [b"one"]


@pytest.mark.parametrize("fault", ["busy", "reset", "unanswered", *KEYS_REFUSED])
def test_while_the_server_is_away_nothing_is_taken_for_stored_and_later_it_is(s3: S3Server, fault: str) -> None:
    s3.always = fault
    with pytest.raises(StorageError, match="object store"):
        raw_store.save_batch([b"one"])
    assert not RawMessage.objects.exists()
    s3.always = ""
    (digest,) = raw_store.save_batch([b"one"])
    assert raw_store.open_raw(digest) == b"one"


@pytest.mark.parametrize("fault", [*FAULTS, "cut"])
def test_a_read_that_fails_once_is_tried_again_and_one_that_always_does_is_out_of_reach(
    s3: S3Server, fault: str, clients: dict[float, Any]
) -> None:
    use(clients[2 if fault == "silent" else 60])
    digest, other = raw_store.save_batch([b"o" * 2000, b"t" * 2000])
    s3.faults = [fault]
    assert raw_store.open_raw(digest) == b"o" * 2000
    s3.always = fault if fault != "silent" else "reset"
    with pytest.raises(raw_store.RawOutOfReach):
        raw_store.open_raw(other)
    s3.released.set()


@pytest.mark.parametrize("fault", ["reset", *KEYS_REFUSED])
def test_the_server_goes_away_between_the_object_and_the_look_whether_it_is_there(s3: S3Server, fault: str) -> None:
    s3.faults = ["", *[fault] * (object_store.TRIES if fault == "reset" else 1)]
    (digest,) = raw_store.save_batch([b"one"])
    assert raw_store.open_raw(digest) == b"one"


def test_dead_and_slow_at_random_it_loses_nothing_of_what_was_said_to_be_stored(s3: S3Server) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # shown where it fails
    chance = s3.chance = random.Random(seed)
    stored, refused, away = dict[str, bytes](), 0, 0
    for number in range(150):
        raws = [f"{number}.{each}".encode() * chance.randrange(1, 400) for each in range(chance.randrange(1, 4))]
        try:
            stored |= zip(raw_store.save_batch(raws), raws, strict=True)
        except StorageError:
            refused += 1
        try:
            for digest in chance.sample(sorted(stored), min(len(stored), 2)):
                assert raw_store.open_raw(digest) == stored[digest]
        except raw_store.RawOutOfReach:
            away += 1
    s3.chance, s3.faults = None, []
    assert len(stored) > 50 and refused and away
    assert all(raw_store.is_sound(digest) and raw_store.open_raw(digest) == raw for digest, raw in stored.items())
    # A row never lacks its bytes, though the batch was refused.
    assert all(raw_store.is_sound(digest) for digest in RawMessage.objects.values_list("digest", flat=True))


def test_an_object_that_is_gone_short_or_damaged_is_told_and_written_again(s3: S3Server) -> None:
    digests = raw_store.save_batch([b"one", b"two"])
    segment = RawMessage.objects.values_list("segment", flat=True).distinct().get()
    client = raw_storage().client  # type: ignore[attr-defined]
    for spoilt in (b"eno", b"", None):
        client.delete_object(Bucket=BUCKET, Key=f"raw/{segment}")
        if spoilt is not None:
            client.put_object(Bucket=BUCKET, Key=f"raw/{segment}", Body=spoilt)
        for digest in digests:
            with pytest.raises(raw_store.RawMissing):
                raw_store.open_raw(digest)
            assert not raw_store.is_sound(digest)
    assert raw_store.save_batch([b"one", b"two"], prove=True) == digests
    assert [raw_store.open_raw(digest) for digest in digests] == [b"one", b"two"]


def test_a_large_message_goes_in_parts_and_is_mapped_from_a_copy(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "MAPPED_FROM", 6_000_000)
    monkeypatch.setattr(raw_store, "MAPPED_FROM", 6_000_000)
    monkeypatch.setattr(raw_storage(), "transfer_config", object_store.TransferConfig(6_000_000, use_threads=False))
    large = bytes(range(256)) * 40_000
    (digest,) = raw_store.save_batch([large])
    mapped, path = raw_store.map_raw(digest)
    assert bytes(mapped) == large and Path(path).is_relative_to(local_copies.folder())
    assert [each for each in s3.asked if each.startswith("POST")]  # the parts were put together


def test_the_sweep_takes_what_nobody_needs_and_leaves_what_is_not_ours(s3: S3Server) -> None:
    client = raw_storage().client  # type: ignore[attr-defined]
    for key in ("raw/else.txt", "other/2026/a"):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"theirs")
    raw_store.save_batch([b"one"])
    sweeping.sweep(timezone.now() + timedelta(hours=23))
    assert len(objects(s3)) == 3
    assert sweeping.sweep(timezone.now() + timedelta(hours=25)) == 1
    assert objects(s3) == [b"theirs"] * 2


def test_an_object_is_written_anew_without_what_nobody_refers_to(s3: S3Server) -> None:
    kept, erased = raw_store.save_batch([b"kept", b"erased"])
    for days, there in ((2, [b"kept", b"kepterased"]), (4, [b"kept"])):
        now = timezone.now() + timedelta(days=days)
        raw_store.reference([kept], now)
        sweeping.sweep(now)
        assert sorted(objects(s3)) == there
        assert raw_store.open_raw(kept) == b"kept" and not RawMessage.objects.filter(digest=erased).exists()


def test_a_fork_makes_connections_of_its_own(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    storage: Any = raw_storage()
    first = storage.client
    assert storage.client is first
    monkeypatch.setattr(object_store.os, "getpid", lambda: -1)
    assert storage.client is not first


def test_settings_that_lack_a_bucket_or_the_packages_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRX_EMAIL_RAW_STORAGE", "s3")
    with pytest.raises(SettingError, match="PRX_EMAIL_S3_BUCKET"):
        raw_store_settings.raw_storage_of(Path("data"))
    monkeypatch.setattr(raw_store_settings, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"requirements-s3\.lock"):
        raw_store_settings.raw_storage_of(Path("data"))


@pytest.mark.parametrize("fault", ["reset", *KEYS_REFUSED])
def test_while_the_server_is_away_a_mail_waits_without_losing_a_try_and_no_sync_is_begun(
    s3: S3Server, make_account: Callable[..., Account], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(store_check, "_known", store_check._LastCheck())
    monkeypatch.setattr(store_check, "LOOK_SECONDS", 0.0)
    account = make_account(**NOWHERE)
    assert api.queue(account.pk, "bob@example.test", "Hello", "A text.").data
    s3.always = fault
    assert delivery_tasks.deliver() == {"attempted": 0, "sent": 0}
    sync_tasks.sync_tick()
    deliver.deliver_account(account.pk)  # had begun when it went away
    row = OutboxMessage.objects.get()
    assert (row.status, row.hold, row.retries, SyncRun.objects.count()) == ("failed", "", 0, 0)
    refused = api.queue(account.pk, "bob@example.test", "Hello", "Another.")
    assert refused.error and refused.error.code == "Storage"
    s3.always = ""
    assert store_check.is_usable() and raw_store.open_raw(row.mime_digest)
