"""Previews on pages: made by a worker, once for equal files, and never in the way of a page."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from mailbox.models import Account, Attachment, ConversationLink, ImageFetch, Preview, RawMessage
from mailbox.pictures import previews, remote_images
from mailbox.storage import sweeping
from mailbox.tasks import pictures as pictures_tasks
from tests.mailbox.pictures.pictures import picture
from tests.rows import letter_with, looked_yesterday, outbox_row, store, tasks_queued

pytestmark = pytest.mark.pages


def attached(account: Account, content: bytes = b"", filename: str = "a.png", kind: str = "image/png") -> Attachment:
    return store(account, letter_with(content or picture(), filename, kind)).attachment_rows.get()


def addresses(row: Attachment) -> tuple[str, str]:
    args = [row.message_id, row.position]
    return reverse("mailbox:message_preview", args=args), reverse("mailbox:message_picture", args=args)


@pytest.mark.django_db
def test_a_page_asks_and_the_picture_is_there_when_a_worker_has_made_it(viewer: Client, account: Account) -> None:
    row = attached(account)
    page, image = addresses(row)
    assert "no-preview" in viewer.get(image)["Location"]
    assert "being made" in viewer.get(page).content.decode()
    assert tasks_queued() == ["mailbox.tasks.make_preview"]
    assert viewer.get(page, {"large": "1"}, headers={"HX-Request": "true"}).status_code == 204
    previews.make(row.digest)
    assert viewer.get(page, {"large": "1"}, headers={"HX-Request": "true"})["HX-Refresh"] == "true"
    assert image in viewer.get(page).content.decode()
    for query, width in ({"size": "small"}, 320), ({}, 800):
        response = viewer.get(image, query)
        assert response["Content-Type"] == "image/webp"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response["Content-Security-Policy"]
        assert Image.open(io.BytesIO(response.content)).size[0] <= width
    assert len(tasks_queued()) == 1


@pytest.mark.django_db
def test_lists_poll_the_small_fragment_until_it_is_a_picture(viewer: Client, account: Account) -> None:
    row = attached(account)
    page, image = addresses(row)
    listed = viewer.get(reverse("outbox:attachments")).content.decode()
    assert "intersect once" in listed
    waiting = viewer.get(page, headers={"HX-Request": "true"}).content.decode()
    assert "every 2s" in waiting
    assert "<html" not in waiting
    previews.make(row.digest)
    ready = viewer.get(page, headers={"HX-Request": "true"}).content.decode()
    assert f"{image}?size=small" in ready
    assert "hx-get" not in ready
    assert f"{image}?size=small" in viewer.get(reverse("mailbox:message", args=[row.message_id])).content.decode()


@pytest.mark.django_db
def test_looking_at_a_list_writes_and_queues_nothing(viewer: Client, account: Account) -> None:
    row = attached(account)
    viewer.get(reverse("outbox:attachments"))
    viewer.get(reverse("mailbox:message", args=[row.message_id]))
    assert not Preview.objects.exists()
    assert tasks_queued() == []


@pytest.mark.django_db
def test_equal_files_share_a_picture_received_or_written(viewer: Client, account: Account) -> None:
    row = attached(account)
    written = outbox_row(account, raw=letter_with(picture(), "again.png", "image/png"))
    previews.ask(row, row.message.raw_digest, now=timezone.now())
    previews.make(row.digest)
    shown = viewer.get(reverse("outbox:preview", args=[written.pk, 0])).content.decode()
    assert reverse("outbox:picture", args=[written.pk, 0]) in shown
    assert viewer.get(reverse("outbox:picture", args=[written.pk, 0]))["Content-Type"] == "image/webp"
    assert Preview.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "filename", "kind"),
    [
        (b"MZ", "a.exe", "application/octet-stream"),
        (b"<svg/>", "a.svg", "image/svg+xml"),
        (b"hi", "a.txt", "text/html"),
    ],
)
def test_other_types_are_never_drawn(
    viewer: Client, account: Account, content: bytes, filename: str, kind: str
) -> None:
    page, image = addresses(attached(account, content, filename, kind))
    assert "No preview" in viewer.get(page).content.decode()
    assert viewer.get(image).status_code == 302
    assert tasks_queued() == []


@pytest.mark.django_db
def test_a_hostile_file_gets_no_preview_with_the_reason(viewer: Client, account: Account) -> None:
    row = attached(account, b"%PDF-1.7 nothing", "a.pdf", "application/pdf")
    page, image = addresses(row)
    viewer.get(page)
    previews.make(row.digest)
    shown = viewer.get(page).content.decode()
    assert "The PDF is damaged or needs a password." in shown
    assert viewer.get(image).status_code == 302


@pytest.mark.django_db
def test_a_preview_whose_worker_died_is_asked_for_again_once(account: Account) -> None:
    row, now = attached(account), timezone.now()
    assert previews.ask(row, row.message.raw_digest, now=now)
    assert not previews.ask(row, row.message.raw_digest, now=now + timedelta(seconds=30))
    Preview.objects.update(claimed_at=now)
    later = now + previews.CLAIM + timedelta(seconds=1)
    assert previews.ask(row, row.message.raw_digest, now=later)
    assert not previews.ask(row, row.message.raw_digest, now=later)
    previews.make(row.digest, now=later)
    assert Preview.objects.get().state == "ready"


@pytest.mark.django_db
def test_one_of_two_workers_makes_it(account: Account) -> None:
    row, now = attached(account), timezone.now()
    previews.ask(row, row.message.raw_digest, now=now)
    Preview.objects.update(claimed_at=now)
    previews.make(row.digest, now=now + timedelta(seconds=1))
    assert Preview.objects.get().state == "waiting"


@pytest.mark.django_db
def test_bytes_that_were_lost_are_said_so(account: Account) -> None:
    row = attached(account)
    previews.ask(row, "0" * 64, now=timezone.now())
    previews.make(row.digest)
    assert Preview.objects.get().reason == "The stored bytes of the attachment cannot be read."


@pytest.mark.django_db
def test_the_sweep_keeps_the_pictures_until_they_are_forgotten(account: Account) -> None:
    row, now = attached(account), timezone.now()
    previews.ask(row, row.message.raw_digest, now=now)
    previews.make(row.digest)
    kept = Preview.objects.get()
    RawMessage.objects.update(stored_at=now - timedelta(days=2))
    sweeping.sweep(now)
    assert previews.picture(kept, small=True)
    assert previews.forget_old(now + previews.KEPT + timedelta(minutes=1)) == 1
    sweeping.sweep(now)
    assert not RawMessage.objects.filter(digest=kept.raw_digest).exists()


@pytest.mark.django_db
def test_a_removed_attachment_has_no_picture_any_more(viewer: Client, account: Account) -> None:
    row = attached(account)
    previews.ask(row, row.message.raw_digest, now=timezone.now())
    previews.make(row.digest)
    Attachment.objects.update(removed_at=timezone.now())
    assert [viewer.get(url).status_code for url in addresses(row)] == [404, 404]


@pytest.mark.django_db
def test_the_workers_tasks_make_pictures_and_let_go_of_old_ones(account: Account) -> None:
    row, long_ago = attached(account), timezone.now() - timedelta(days=60)
    previews.ask(row, row.message.raw_digest, now=long_ago)
    remote_images.ask(row.message, None, now=long_ago)
    pictures_tasks.make_preview(row.digest)
    pictures_tasks.fetch_images(row.message_id)
    assert Preview.objects.get().state == "ready"
    assert ImageFetch.objects.get().finished_at is not None
    ConversationLink.objects.all().delete()
    looked_yesterday()
    pictures_tasks.tidy()
    assert not Preview.objects.exists()
    assert not ImageFetch.objects.exists()
    assert ConversationLink.objects.get().message_id == row.message_id
