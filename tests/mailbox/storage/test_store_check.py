"""A host that cannot write and read the raw store takes no work, and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from mailbox.models import Account, SyncRun, WorkerHeartbeat
from mailbox.storage import store_check
from mailbox.tasks import sync as sync_tasks
from outbox import api
from outbox.models import OutboxMessage
from outbox.tasks import delivery as delivery_tasks
from tests.rows import NOWHERE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def move_store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """move_store(folder): the raw store is there from now on."""
    monkeypatch.setattr(store_check, "_known", store_check._LastCheck())
    monkeypatch.setattr(store_check, "LOOK_SECONDS", 0.0)

    def move(folder: Path) -> None:
        raw = {**settings.STORAGES["raw"], "OPTIONS": {"location": str(folder)}}
        settings.STORAGES = {**settings.STORAGES, "raw": raw}

    yield move


def test_a_host_whose_store_fails_takes_no_sync_and_no_delivery_until_it_works_again(
    make_account: Callable[..., Account],
    make_user: Callable[..., object],
    client: Client,
    move_store: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    account = make_account(**NOWHERE)
    assert api.queue(account.pk, "bob@example.test", "Hello", "A text.").data
    (tmp_path / "a-file").touch()
    move_store(tmp_path / "a-file" / "raw")
    sync_tasks.sync_tick()
    sync_tasks.sync_account(account.pk, None)
    assert delivery_tasks.deliver() == {"attempted": 0, "sent": 0}
    assert not SyncRun.objects.exists() and OutboxMessage.objects.get().status == "pending"
    sync_tasks.beat()
    first = WorkerHeartbeat.objects.without_store(timezone.now()).get().store_failed_since
    sync_tasks.beat()
    assert WorkerHeartbeat.objects.get().store_failed_since == first
    client.force_login(make_user())  # type: ignore[arg-type]
    assert "cannot write or read stored mail" in client.get("/").content.decode()

    move_store(tmp_path / "good")
    sync_tasks.beat()
    sync_tasks.sync_tick()
    assert not WorkerHeartbeat.objects.without_store(timezone.now()).exists()
    assert SyncRun.objects.exists()
    assert not list((tmp_path / "good" / store_check.FOLDER).iterdir())
