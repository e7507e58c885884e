"""Previews: drawn in a process that may be lost, once for equal files, and never in the way of a page."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from mailbox import preview_maker, previews, rawstore, remote_images, tasks_pictures
from mailbox.models import Account, Attachment, ConversationLink, ImageFetch, Preview, RawMessage
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from tests.rows import NOWHERE, letter_with, outbox_row, store, tasks_queued

ROOT = Path(__file__).resolve().parents[2]


def picture(kind: str = "PNG", size: tuple[int, int] = (800, 600), mode: str = "RGB") -> bytes:
    output = io.BytesIO()
    Image.new(mode, size, "red" if mode == "RGB" else 0).save(output, kind)
    return output.getvalue()


def bomb() -> bytes:
    """A PNG of 49 megapixels in RGBA that is a few kB on the wire: 196 MB when it is unfolded."""
    return picture("PNG", (7000, 7000), "L")


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("TIFF", "image/tiff"),
        ("BMP", "image/bmp"),
        ("PDF", "application/pdf"),
    ],
)
def test_images_and_pdf_pages_are_drawn_anew_in_two_sizes(kind: str, content_type: str) -> None:
    drawn = previews.draw(picture(kind, (3000, 1500)), content_type)
    for content, bounds in ((drawn.small, preview_maker.SMALL), (drawn.large, preview_maker.LARGE)):
        image = Image.open(io.BytesIO(content))
        assert image.format == "WEBP"
        assert image.size[0] == bounds[0]
        assert abs(image.size[1] - bounds[0] // 2) <= 2
        red, green, blue = image.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
        assert (red > 200, green < 60, blue < 60) == (True, True, True)


def test_the_drawn_picture_carries_nothing_of_the_files_own_bytes() -> None:
    output = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "<script>alert(1)</script>"
    Image.new("RGB", (50, 50)).save(output, "JPEG", exif=exif)
    assert b"<script>" in output.getvalue()
    drawn = previews.draw(output.getvalue() + b"<script>", "image/jpeg")
    assert b"script" not in drawn.small + drawn.large


@pytest.mark.parametrize(
    ("content", "content_type", "words"),
    [
        (b"", "image/png", "no whole image"),
        (b"junk" * 100, "image/png", "no whole image"),
        (picture()[:200], "image/png", "no whole image"),
        (b"%PDF-1.4\n%%EOF", "application/pdf", "damaged or needs a password"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png", "no whole image"),
        (picture("PNG", (20_000, 20_000), "1"), "image/png", "no whole image"),
    ],
    ids=["empty", "junk", "half a PNG", "a PDF without pages", "SVG called PNG", "400 megapixels in 50 kB"],
)
def test_of_what_cannot_be_drawn_there_is_no_preview_and_a_sentence(
    content: bytes, content_type: str, words: str
) -> None:
    with pytest.raises(previews.NoPreview, match=words):
        previews.draw(content, content_type)


def test_a_pdf_page_that_is_endless_or_tiny_is_bounded() -> None:
    for box in ("0 0 14400000 14400000", "0 0 1 100000", "0 0 0 0"):
        raw = (
            b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        )
        raw += f"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[{box}]>>endobj\ntrailer<</Root 1 0 R>>\n".encode()
        try:
            drawn = previews.draw(raw, "application/pdf")
        except previews.NoPreview:
            continue
        assert max(Image.open(io.BytesIO(drawn.large)).size) <= max(preview_maker.LARGE)


def test_a_file_that_takes_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is what ends it here; nothing needs half a second less than the start of the process."""
    with pytest.raises(previews.NoPreview, match="too long"):
        previews.draw(picture(), "image/png", seconds=0.01)


def test_a_file_that_wants_more_memory_than_there_is_ends_only_its_own_process() -> None:
    script = (
        "import resource, sys; from mailbox import preview_maker as p; p.MAX_MEMORY = 160 * 1024 * 1024;"
        "sys.exit(p.main('image/png', sys.stdin.buffer, sys.stdout.buffer))"
    )
    done = subprocess.run([sys.executable, "-c", script], input=bomb(), capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stdout == b""


def test_the_process_knows_none_of_our_secrets_and_is_confined() -> None:
    script = (
        "import resource, os; from mailbox import preview_maker as p; p.confine();"
        "print(resource.getrlimit(resource.RLIMIT_AS)[1] == p.MAX_MEMORY, resource.getrlimit(resource.RLIMIT_CPU)[1],"
        "resource.getrlimit(resource.RLIMIT_FSIZE)[1], 'django' in __import__('sys').modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["True", str(preview_maker.MAX_CPU_SECONDS), "0", "False"]


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture
def viewer(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("viewer"))
    return client


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
    assert tasks_queued() == ["mailbox.tasks_pictures.make_preview"]
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
    rawstore.sweep(now)
    assert previews.picture(kept, small=True)
    assert previews.forget_old(now + previews.KEPT + timedelta(minutes=1)) == 1
    rawstore.sweep(now)
    assert not RawMessage.objects.filter(digest=kept.raw_digest).exists()


@pytest.mark.django_db
def test_a_removed_attachment_has_no_picture_any_more(viewer: Client, account: Account) -> None:
    row = attached(account)
    previews.ask(row, row.message.raw_digest, now=timezone.now())
    previews.make(row.digest)
    Attachment.objects.update(removed_at=timezone.now())
    assert [viewer.get(url).status_code for url in addresses(row)] == [404, 404]


def test_the_drawing_process_dies_with_its_worker() -> None:
    """A worker that is killed leaves nobody drawing a hostile file."""
    script = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([{sys.executable!r}, '-c', "
        "'from mailbox import preview_maker as p; import time; p.confine(); print(1, flush=True); time.sleep(60)'],"
        "stdout=subprocess.PIPE); child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    child = int(worker.stdout.readline())
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    ends_at = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < ends_at:
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break
        threading.Event().wait(0.02)
    else:
        assert not Path(f"/proc/{child}").exists()


@pytest.mark.django_db
def test_the_workers_tasks_make_pictures_and_let_go_of_old_ones(account: Account) -> None:
    row, long_ago = attached(account), timezone.now() - timedelta(days=60)
    previews.ask(row, row.message.raw_digest, now=long_ago)
    remote_images.ask(row.message, None, now=long_ago)
    tasks_pictures.make_preview(row.digest)
    tasks_pictures.fetch_images(row.message_id)
    assert Preview.objects.get().state == "ready"
    assert ImageFetch.objects.get().finished_at is not None
    ConversationLink.objects.all().delete()
    tasks_pictures.tidy()
    assert not Preview.objects.exists()
    assert not ImageFetch.objects.exists()
    assert ConversationLink.objects.get().message_id == row.message_id
