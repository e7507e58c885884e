"""Asleep for a day between the raw bytes and the rows that refer to them, with a sweep in between: nothing is committed
that lacks its bytes. And what is damaged is mended when it is fetched again."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, Message, MessagePlace, RawMessage
from mailbox.storage import durable_files, raw_store, sweeping
from mailbox.sync import folder_sync
from outbox.actions import rescheduling
from outbox.compose import create, drafts
from outbox.compose.attachments import AttachmentContent
from outbox.compose.build import Request
from outbox.errors import StorageFailed
from outbox.models import Draft, OutboxMessage
from tests.mailbox.sync.scripted_account import account
from tests.mailbox.sync.synced import mail
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Mail, ScriptedImap

__all__ = ["account"]

pytestmark = pytest.mark.django_db
DAY = timedelta(hours=25)


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {1: Mail(mail(1)), 2: Mail(mail(2))}).start()
    yield server
    server.stop()


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first who stores bytes wakes a day later, after the sweep."""
    save_batch = raw_store.save_batch

    def save_and_sleep(*arguments: Any, **named: Any) -> list[str]:
        digests = save_batch(*arguments, **named)
        if digests:
            monkeypatch.setattr(raw_store, "save_batch", save_batch)
            RawMessage.objects.update(stored_at=timezone.now() - DAY)
            for new in named.get("unindexed") or ():  # files that no row names yet
                os.utime(durable_files.raw_storage().path(new.segment), (0, 0))
            sweeping.sweep(timezone.now())
        return digests

    monkeypatch.setattr(raw_store, "save_batch", save_and_sleep)


def whole() -> bool:
    digests = [*MessagePlace.objects.values_list("raw_digest", flat=True)]
    digests += OutboxMessage.objects.values_list("mime_digest", flat=True)
    return all(raw_store.is_sound(digest) for digest in digests)


@pytest.mark.usefixtures("asleep")
def test_sync_commits_nothing_and_fetches_again(account: Account) -> None:
    assert folder_sync.sync(account.pk).error_code == "storage"
    assert not MessagePlace.objects.exists()
    assert folder_sync.sync(account.pk).ok
    assert MessagePlace.objects.count() == 2
    assert whole()


def request() -> create.SendRequest:
    return create.SendRequest(Request(to=["bob@example.com"], subject="Hello", body_text="Dear Bob"))


@pytest.mark.usefixtures("asleep")
def test_queueing_says_that_the_mail_was_not_stored(account: Account) -> None:
    with pytest.raises(StorageFailed, match="was not sent"):
        create.create(account.pk, request(), now=timezone.now())
    assert not OutboxMessage.objects.exists()
    create.create(account.pk, request(), now=timezone.now())
    assert whole()


@pytest.mark.usefixtures("asleep")
def test_so_does_saving_a_draft_with_a_file(make_user: Callable[..., User]) -> None:
    typed = drafts.FormContents({"subject": "Hello"}, files=[AttachmentContent("a.pdf", "application/pdf", b"%PDF")])
    with pytest.raises(raw_store.RawSwept):
        drafts.save(make_user("operator"), typed, key=drafts.uuid.uuid4(), pk=None, version=0)
    assert not Draft.objects.exists()


def test_so_does_another_time_to_send(account: Account, request: pytest.FixtureRequest) -> None:
    now = timezone.now()
    wanted = create.SendRequest(
        Request(to=["bob@example.com"], subject="Hello", body_text="Dear Bob"), send_at=now + timedelta(days=2)
    )
    pk = create.create(account.pk, wanted, now=now)
    digest = OutboxMessage.objects.get().mime_digest
    request.getfixturevalue("asleep")
    with pytest.raises(StorageFailed, match="written anew"):
        rescheduling.reschedule(pk, now + timedelta(days=3), user=None, now=now)
    assert OutboxMessage.objects.get().mime_digest == digest
    assert whole()


def damage(message: Message) -> None:
    row = RawMessage.objects.get(digest=message.raw_digest)
    path = durable_files.raw_storage().path(row.segment)
    with open(path, "r+b") as file:
        file.seek(row.offset)
        file.write(b"????")


def test_a_damaged_message_is_mended_by_fetch_again(
    account: Account, client: Client, make_user: Callable[..., User]
) -> None:
    folder_sync.sync(account.pk)
    message = Message.objects.get(subject="Mail 1")
    damage(message)
    client.force_login(make_user("operator"))
    page = client.get(reverse("mailbox:message", args=[message.pk]) + "?view=source").content.decode()
    assert "Fetch again" in page
    client.post(reverse("mailbox:message_fetch", args=[message.pk]))
    assert folder_sync.sync(account.pk).ok
    assert raw_store.open_raw(message.raw_digest) == mail(1)
    assert Message.objects.count() == 2


def test_one_that_is_whole_is_not_fetched_again(
    account: Account, client: Client, make_user: Callable[..., User]
) -> None:
    folder_sync.sync(account.pk)
    client.force_login(make_user("operator"))
    client.post(reverse("mailbox:message_fetch", args=[Message.objects.get(subject="Mail 1").pk]))
    assert not MessagePlace.objects.filter(fetch_requested_at__isnull=False).exists()
