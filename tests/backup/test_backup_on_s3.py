"""Backups on S3, and backups of mail that lies there, against a real server that fails when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from mailbox.models import Account, RawMessage
from mailbox.storage import object_store
from mailbox.storage.durable_files import raw_storage
from mailbox.storage.raw_store import open_raw
from prx_email_site.backup import destinations, making, manifest, proving, restoring
from prx_email_site.backup.faults import BackupFault, NoBackup
from prx_email_site.settings import raw_store as raw_store_settings
from tests.rows import NOWHERE, letter, outbox_row, store
from tests.servers.s3 import BUCKET, KEYS_REFUSED, S3Server
from tests.servers.site import database_url

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now().replace(microsecond=0)
TARGET = f"s3://{BUCKET}/backups"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server().start()
    yield server
    server.stop()


@pytest.fixture
def s3(server: S3Server, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """For this process, and for those of an operator."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    options = server.options
    server.clear(object_store.S3RawStorage(**options).client)
    settings.BACKUP_S3 = {name: options[name] for name in options if name not in ("bucket_name", "location")}
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "prx_email_site.settings")
    monkeypatch.setenv("DATABASE_URL", database_url())
    monkeypatch.setenv("PRX_EMAIL_BACKUP_S3_ENDPOINT", options["endpoint_url"])
    monkeypatch.setenv("PRX_EMAIL_BACKUP_S3_REGION", options["region_name"])
    monkeypatch.setenv("PRX_EMAIL_BACKUP_S3_ACCESS_KEY_ID", options["access_key"])
    monkeypatch.setenv("PRX_EMAIL_BACKUP_S3_SECRET_ACCESS_KEY", options["secret_key"])
    return server


@pytest.fixture
def account(s3: S3Server, settings: Any, make_account: Callable[..., Account]) -> Account:
    """Its mail lies in the bucket, too."""
    raw = {"BACKEND": raw_store_settings.S3, "OPTIONS": s3.options}
    settings.STORAGES = {**settings.STORAGES, "raw": raw}
    RawMessage.objects.all().delete()
    account = make_account("ops@example.com", **NOWHERE)
    store(account, letter("First"))
    store(account, letter("Second"))
    outbox_row(account, "Waits")
    return account


def puts(s3: S3Server, what: str) -> int:
    return sum(each.startswith(f"PUT /{BUCKET}/backups/{what}") for each in s3.asked)


def test_mail_on_s3_is_backed_up_to_s3_by_segments_proven_restored_and_forgotten(
    s3: S3Server, account: Account, settings: Any, tmp_path: Path
) -> None:
    count = RawMessage.objects.count()
    first = making.make(destinations.at(TARGET), NOW)
    assert (len(first.read().segments), puts(s3, "raw/")) == (count, count)
    proof = proving.prove(TARGET, NOW)
    assert (proof.fault, proof.detail, proof.messages, proof.missing) == ("", "", count, 0)

    store(account, letter("Third"))
    s3.asked.clear()
    second = making.make(destinations.at(TARGET), NOW + timedelta(hours=1))
    assert puts(s3, "raw/") == 1  # only what is new
    making.forget(destinations.at(TARGET), 1)
    assert [each.name for each in manifest.complete_in(destinations.at(TARGET))] == [second.name]

    settings.STORAGES["raw"] = {"BACKEND": raw_store_settings.FILES, "OPTIONS": {"location": str(tmp_path / "new")}}
    settings.STORAGES = {**settings.STORAGES}
    for each in second.read().segments:
        restoring._put_segment(second, each)
    assert all(open_raw(digest) for digest in RawMessage.objects.values_list("digest", flat=True))


def test_a_backup_in_a_folder_has_the_mail_that_lies_on_s3(s3: S3Server, account: Account, tmp_path: Path) -> None:
    call_command("backup", tmp_path / "backups")
    s3.clear(raw_storage().client)  # type: ignore[attr-defined]  # the bucket is lost
    proof = proving.prove(tmp_path / "backups", NOW)
    assert (proof.fault, proof.messages, proof.missing) == ("", RawMessage.objects.count(), 0)


@pytest.mark.parametrize("fault", ["reset", "cut"])
def test_a_server_that_fails_once_is_asked_again_and_one_that_is_away_leaves_no_backup(
    s3: S3Server, account: Account, tmp_path: Path, fault: str
) -> None:
    s3.faults = [fault]
    call_command("backup", tmp_path / "backups")  # what is read is cut
    s3.always = fault
    with pytest.raises(CommandError, match="object store"):
        call_command("backup", tmp_path / "others")
    with pytest.raises(CommandError, match="object store"):
        call_command("backup", TARGET)
    assert "object store" in proving.prove(TARGET, NOW).detail
    s3.always = ""
    with pytest.raises(NoBackup):
        manifest.find(TARGET)


@pytest.mark.in_part(4)
@pytest.mark.parametrize("fault", KEYS_REFUSED)
@pytest.mark.parametrize(("target", "requests"), [(TARGET, 1), (TARGET, 5), (TARGET, 9), ("", 1)])
def test_a_key_that_is_refused_in_the_middle_leaves_no_backup_and_a_good_one_makes_it(
    s3: S3Server, account: Account, tmp_path: Path, fault: str, target: str, requests: int
) -> None:
    """`target`: "" for a folder, where only the raw store's key is refused."""
    target = target or str(tmp_path / "backups")
    s3.faults, s3.always = [""] * requests, fault
    with pytest.raises(CommandError, match="access key"):
        call_command("backup", target)
    s3.faults, s3.always = [], ""
    with pytest.raises(NoBackup):
        manifest.find(target)
    call_command("backup", target)
    assert proving.prove(target, NOW).fault == ""


def test_an_object_of_a_backup_that_is_gone_or_has_other_bytes_is_named(s3: S3Server, account: Account) -> None:
    backup = making.make(destinations.at(TARGET), NOW)
    segment = f"raw/{backup.read().segments[0].path}"
    with backup.store.open(segment) as file:
        content = file.read()
    client = raw_storage().client  # type: ignore[attr-defined]
    client.put_object(Bucket=BUCKET, Key=f"backups/{segment}", Body=content[:-1] + b"!")
    assert proving.prove(TARGET, NOW).fault == "SegmentDamaged"
    backup.store.remove(segment)
    assert proving.prove(TARGET, NOW).fault == "SegmentMissing"
    client.put_object(Bucket=BUCKET, Key=f"backups/{segment}", Body=content)
    backup.store.remove(backup.database)
    assert proving.prove(f"{TARGET}/{backup.name}", NOW).fault == "DumpTruncated"


@pytest.mark.parametrize("prefix", ["", "raw", "raw/backups"])
def test_an_address_without_a_prefix_or_within_the_raw_store_is_refused(
    s3: S3Server, account: Account, prefix: str
) -> None:
    with pytest.raises(BackupFault, match="PREFIX" if not prefix else "one within the other"):
        destinations.at(f"s3://{BUCKET}/{prefix}")


def test_two_backups_at_once_are_refused(s3: S3Server, account: Account) -> None:
    with destinations.at(TARGET).alone(), pytest.raises(BackupFault, match="at work"):
        making.make(destinations.at(TARGET), NOW)
