"""Remote images in the browser: blocked until asked for, once or for a sender, and shown from our own copy."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AuditEntry, ImageFetch, Message, RawMessage, RemoteImage, TrustedSender
from mailbox.pictures import remote_images
from mailbox.storage import sweeping
from tests.mailbox.pictures.test_image_download import ImageServer, inside, picture
from tests.rows import letter, store, tasks_queued

pytestmark = [pytest.mark.wire, pytest.mark.django_db]
SENDERS = "/messages/senders/"


@pytest.fixture
def server() -> Iterator[ImageServer]:
    started = ImageServer()
    started.says("/a.png", picture())
    started.says("/b.gif", picture("GIF"))
    started.says("/gone.png", b"", 404)
    yield started
    started.stop()


@pytest.fixture
def viewer(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("viewer", username="reader"))
    return client


HTML = (
    '<p>News</p><img src="http://news.example/a.png"><img src="http://news.example/b.gif">'
    '<img src="http://news.example/a.png"><img src="http://news.example/gone.png">'
)


def newsletter(account: Account, html: str = HTML, **headers: str) -> Message:
    return store(account, letter("News", html=html, **headers))


def page(client: Client, message: Message, query: str = "") -> str:
    return client.get(reverse("mailbox:message", args=[message.pk]) + query).content.decode()


def frame(client: Client, message: Message, query: str = "") -> str:
    response = client.get(reverse("mailbox:message_html", args=[message.pk]) + query)
    assert "img-src data:;" in response["Content-Security-Policy"]
    return response.content.decode()


def data_of(kind: str) -> str:
    return base64.b64encode(picture(kind)).decode()


def test_images_are_fetched_after_a_click_and_shown_as_data(
    viewer: Client, account: Account, server: ImageServer
) -> None:
    message = newsletter(account)
    assert "3 remote images are blocked" in page(viewer, message)
    asked = viewer.post(reverse("mailbox:message_images", args=[message.pk]))
    assert asked["Location"].endswith("?view=html&images=1")
    assert tasks_queued() == ["mailbox.tasks.fetch_images"]
    assert "are being fetched" in page(viewer, message, "?images=1")
    assert server.asked == []
    assert remote_images.fetch_images(message.pk, network=inside(server)) == 2
    shown = page(viewer, message, "?images=1")
    assert "2 of 3 remote images are shown" in shown
    assert "The server answered 404." in shown
    document = frame(viewer, message, "?images=1")
    assert document.count(data_of("PNG")) == 2
    assert document.count(data_of("GIF")) == 1
    assert "news.example" not in document
    assert AuditEntry.objects.get().verb == "load_images"


def test_once_means_this_view(viewer: Client, account: Account, server: ImageServer) -> None:
    message, another = newsletter(account), newsletter(account)
    viewer.post(reverse("mailbox:message_images", args=[message.pk]))
    remote_images.fetch_images(message.pk, network=inside(server))
    assert "3 remote images are blocked" in page(viewer, message)
    assert data_of("PNG") not in frame(viewer, message)
    assert "3 remote images are blocked" in page(viewer, another, "?images=1")
    assert data_of("PNG") not in frame(viewer, another, "?images=1")


def test_always_holds_for_this_sender_and_this_person_until_taken_back(
    viewer: Client, account: Account, server: ImageServer, make_user: Callable[..., User]
) -> None:
    message = newsletter(account, From="Shop <News@Shop.example>")
    next_one, stranger = newsletter(account, From="news@shop.example"), newsletter(account, From="x@shop.example")
    viewer.post(reverse("mailbox:message_images", args=[message.pk]), {"always": "1"})
    assert TrustedSender.objects.get().address == "news@shop.example"
    assert "are being fetched" in page(viewer, next_one)
    remote_images.fetch_images(next_one.pk, network=inside(server))
    assert "2 of 3 remote images are shown" in page(viewer, next_one)
    assert data_of("PNG") in frame(viewer, next_one)
    assert "3 remote images are blocked" in page(viewer, stranger)
    other = Client()
    other.force_login(make_user("viewer"))
    assert "3 remote images are blocked" in page(other, next_one)
    assert data_of("PNG") not in frame(other, next_one)
    row = TrustedSender.objects.get()
    other.post(SENDERS, {"remove": row.pk})
    assert TrustedSender.objects.count() == 1
    assert "news@shop.example" not in other.get(SENDERS).content.decode()
    assert "news@shop.example" in viewer.get(SENDERS).content.decode()
    viewer.post(SENDERS, {"remove": row.pk})
    assert "Nobody yet" in viewer.get(SENDERS).content.decode()
    assert "3 remote images are blocked" in page(viewer, next_one)
    assert {entry.verb for entry in AuditEntry.objects.all()} == {"load_images", "trust_sender", "distrust_sender"}


@pytest.mark.parametrize("given", ["", "x", "-1", "9" * 30, "٣"])
def test_a_removal_that_names_nothing_changes_nothing(viewer: Client, given: str) -> None:
    TrustedSender.objects.create(user=User.objects.get(username="reader"), address="a@example.com")
    assert viewer.post(SENDERS, {"remove": given}).status_code == 302
    assert TrustedSender.objects.count() == 1


def test_the_notice_waits_without_asking_anew_and_then_opens_the_page(
    viewer: Client, account: Account, server: ImageServer
) -> None:
    message = newsletter(account)
    url = reverse("mailbox:message_images", args=[message.pk])
    viewer.post(url)
    viewer.post(url)
    waiting = viewer.get(f"{url}?images=1", headers={"HX-Request": "true"})
    assert "every 1s" in waiting.content.decode()
    assert len(tasks_queued()) == 1
    remote_images.fetch_images(message.pk, network=inside(server))
    done = viewer.get(f"{url}?images=1", headers={"HX-Request": "true"})
    assert done["HX-Redirect"].endswith("images=1")
    viewer.post(url)
    assert len(tasks_queued()) == 1


def test_two_workers_fetch_once_and_a_dead_one_is_followed(account: Account, server: ImageServer) -> None:
    message, now = newsletter(account), timezone.now()
    assert remote_images.ask(message, None, now=now)
    assert not remote_images.ask(message, None, now=now + timedelta(minutes=1))
    ImageFetch.objects.update(claimed_at=now)
    assert remote_images.fetch_images(message.pk, network=inside(server)) == 0
    assert server.asked == []
    assert remote_images.ask(message, None, now=now + remote_images.CLAIM + timedelta(seconds=1))
    assert remote_images.fetch_images(message.pk, network=inside(server)) == 2
    assert remote_images.fetch_images(message.pk, network=inside(server)) == 0


def test_a_mail_has_only_so_many_images_and_bytes(
    account: Account, server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_images, "MAX_IMAGES", 5)
    monkeypatch.setattr(remote_images, "MAX_TOTAL_BYTES", int(2.5 * len(picture())))
    html = "".join(f'<img src="http://news.example/a{number}.png">' for number in range(9))
    for number in range(9):
        server.says(f"/a{number}.png", picture())
    message = newsletter(account, html)
    remote_images.ask(message, None, now=timezone.now())
    assert remote_images.fetch_images(message.pk, network=inside(server)) == 2
    assert len(server.asked) == 5
    assert RemoteImage.objects.filter(error__contains="MB together").count() == 3


def test_images_of_a_mail_are_asked_of_the_public_internet_only(account: Account) -> None:
    message = newsletter(account, '<img src="http://127.0.0.1/a"><img src="http://169.254.169.254/latest/">')
    remote_images.ask(message, None, now=timezone.now())
    assert remote_images.fetch_images(message.pk) == 0
    assert set(RemoteImage.objects.values_list("error", flat=True)) == {"The host is not on the public Internet."}


def test_mail_without_remote_images_offers_nothing(viewer: Client, account: Account) -> None:
    message = newsletter(account, "<p>hello</p>")
    shown = page(viewer, message)
    assert "Load once" not in shown
    viewer.post(reverse("mailbox:message_images", args=[message.pk]), {"always": "1"})
    remote_images.fetch_images(message.pk)
    assert ImageFetch.objects.get().finished_at is not None


def test_what_was_fetched_is_kept_a_week_and_its_bytes_as_long(account: Account, server: ImageServer) -> None:
    message, now = newsletter(account), timezone.now()
    remote_images.ask(message, None, now=now)
    remote_images.fetch_images(message.pk, network=inside(server))
    digests = set(RemoteImage.objects.exclude(raw_digest="").values_list("raw_digest", flat=True))
    RawMessage.objects.update(stored_at=now - timedelta(days=2))
    sweeping.sweep(now)
    assert len(remote_images.fetched(message)) == 2
    remote_images.forget_old(now + remote_images.KEPT + timedelta(minutes=1))
    sweeping.sweep(now)
    assert remote_images.fetched(message) == {}
    assert not RawMessage.objects.filter(digest__in=digests).exists()


def test_a_lost_picture_is_shown_as_blocked(viewer: Client, account: Account, server: ImageServer) -> None:
    message = newsletter(account)
    remote_images.ask(message, None, now=timezone.now())
    remote_images.fetch_images(message.pk, network=inside(server))
    RemoteImage.objects.filter(content_type="image/gif").update(raw_digest="0" * 64)
    document = frame(viewer, message, "?images=1")
    assert data_of("PNG") in document
    assert data_of("GIF") not in document
