"""Sync stops before the disk is full, and says so; what goes out still goes out. A real file system that fills up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from alerts.problems import installation
from mailbox.models import Account, Message, Quarantine, SyncRun, WorkerHeartbeat
from mailbox.scheduler.account_queue import jobs_of
from mailbox.scheduler.runner import run_sync
from mailbox.storage import store_check
from mailbox.tasks import sync as sync_tasks
from outbox import api
from outbox.models import OutboxMessage
from outbox.tasks import delivery as delivery_tasks
from tests.rows import letter
from tests.servers.dovecot import Dovecot
from tests.servers.small_disk import NoSmallDisk, SmallDisk, small_disk
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """The raw store lies on a disk of 16 MiB, of which 6 are the reserve."""
    monkeypatch.setattr(store_check, "_known", store_check._LastCheck())
    monkeypatch.setattr(store_check, "LOOK_SECONDS", 0.0)
    settings.DISK_RESERVE_BYTES = 6 * MIB
    try:
        with small_disk(tmp_path / "disk", "16m") as disk:
            raw = {**settings.STORAGES["raw"], "OPTIONS": {"location": str(disk.path / "raw")}}
            settings.STORAGES = {**settings.STORAGES, "raw": raw}
            yield disk
    except NoSmallDisk as reason:
        pytest.skip(str(reason))


def use(disk: SmallDisk, size: int) -> None:
    (disk.path / "filler").write_bytes(bytes(size))


def test_a_run_stops_at_the_reserve_and_goes_on_where_it_was_when_there_is_room(
    disk: SmallDisk, dovecot: Dovecot, make_account: Callable[..., Account], mail_user: str
) -> None:
    account = make_account(mail_user)
    for number in range(4):
        dovecot.append(mail_user, "INBOX", letter(f"Number {number}", text="x" * 75 + "\n" * MIB))
    use(disk, 8 * MIB + MIB // 2)  # less than the four mails is left above the reserve

    def sync() -> int:
        run_sync(jobs_of(account.pk, 1), 50, trigger=SyncRun.Trigger.CLICK)
        return Message.objects.count()

    some = sync()
    assert some < 4
    assert "PRX_EMAIL_DISK_RESERVE_MB" in SyncRun.objects.get().folders.get(ok=False).error
    assert sync() == some and os.statvfs(disk.path).f_bavail * os.statvfs(disk.path).f_frsize >= 6 * MIB
    (disk.path / "filler").unlink()
    assert sync() == 4 and not Quarantine.objects.exists()


def test_below_the_reserve_nothing_is_fetched_and_a_mail_goes_out_and_both_are_said(
    disk: SmallDisk,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    make_user: Callable[..., Any],
    client: Client,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = smtp_server("tls")
    account = account_on(server)
    use(disk, 11 * MIB)
    sync_tasks.sync_tick()
    sync_tasks.sync_account(account.pk, None)
    assert not SyncRun.objects.exists()
    with pytest.raises(SystemExit):
        call_command("sync", account.email)
    assert "PRX_EMAIL_DISK_RESERVE_MB" in capsys.readouterr().err

    assert api.queue(account.pk, "bob@example.test", "Hello", "A text.").ok
    delivery_tasks.sweep()
    assert delivery_tasks.deliver()["sent"] == 1 and len(server.mails()) == 1
    assert OutboxMessage.objects.get().status == "sent"

    sync_tasks.beat()
    since = WorkerHeartbeat.objects.get().fetching_stopped_since
    sync_tasks.beat()
    assert since and WorkerHeartbeat.objects.get().fetching_stopped_since == since
    client.force_login(make_user())
    assert "fetches no mail: its disk is nearly full" in client.get("/").content.decode()
    now = timezone.now()
    assert [each.key for each in installation.find(now) if each.key.startswith("disk-full:")]

    (disk.path / "filler").unlink()
    sync_tasks.beat()
    assert WorkerHeartbeat.objects.get().fetching_stopped_since is None
