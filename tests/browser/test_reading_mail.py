"""Reading in a real browser: a conversation, remote images from our own copy, previews that appear, a reply to all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from mailbox.models import Account
from mailbox.pictures import previews, remote_images
from tests.mailbox.pictures.test_image_download import ImageServer, inside, picture
from tests.rows import letter, letter_with, store

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def server() -> Iterator[ImageServer]:
    started = ImageServer()
    started.says("/a.png", picture("PNG", (40, 30)))
    yield started
    started.stop()


def test_a_conversation_is_one_row_and_unfolds_on_its_page(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    now = timezone.now()
    store(account, letter("Fair", "Shall we go?", Message_ID="<m1@x.example>"), at=now - timedelta(hours=2))
    answer = letter("Re: Fair", "Gladly, on Friday.", Message_ID="<m2@x.example>", In_Reply_To="<m1@x.example>")
    store(account, answer, at=now)
    page = signed_in_page
    page.goto(f"{live_site}/messages/")
    expect(page.locator("tr[data-row]")).to_have_count(2)
    page.get_by_role("link", name="One row a conversation").click()
    expect(page.locator("tr[data-row]")).to_have_count(1)
    page.get_by_role("link", name=re.compile("Re: Fair")).click()
    panel = page.get_by_role("region", name="Conversation")
    expect(panel.get_by_role("heading")).to_have_text("Conversation of 2")
    expect(panel.get_by_role("link", name=re.compile("Open “"))).to_be_hidden()
    panel.locator("summary").click()
    expect(panel.locator("pre")).to_have_text("Shall we go?")
    panel.get_by_role("link", name="Open “Fair”").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Fair")
    expect(page.get_by_role("link", name="Open the newest")).to_be_visible()


def test_the_frame_is_as_high_as_its_mail_whatever_its_height_and_the_windows_width(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    short = store(account, letter("Short", html="<p>One line.</p>"))
    long = store(account, letter("Long", html=f"<div style='width:100%'>{'word ' * 4000}</div>"))
    page = signed_in_page
    heights = []
    for message, width in ((short, 1280), (long, 1280), (long, 600)):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{live_site}/messages/{message.pk}/")
        page.wait_for_function("document.querySelector('.mail-frame').style.height")
        frame = page.locator(".mail-frame")
        box = frame.bounding_box()
        assert box
        document = page.frames[1] if "measured" not in page.frames[1].url else page.frames[2]
        ends_at = document.locator("body > *").last.bounding_box()
        assert ends_at
        assert (
            box["y"]
            <= ends_at["y"] + ends_at["height"]
            <= box["y"] + box["height"]
            <= ends_at["y"] + ends_at["height"] + 60
        )
        heights.append(box["height"])
    assert heights[0] < 120 < 900 < heights[1] < heights[2]


def test_images_come_from_our_copy_and_the_browser_asks_nobody(
    signed_in_page: Page, live_site: str, account: Account, server: ImageServer, foreign_requests: list[str]
) -> None:
    html = '<p>News</p><img src="http://news.example/a.png"><img src="http://news.example/pixel.gif" width="1">'
    message = store(account, letter("News", html=html))
    page, problems = signed_in_page, list[str]()
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(f"{live_site}/messages/{message.pk}/")
    expect(page.locator("main").get_by_text("2 remote images are blocked")).to_be_visible()
    page.get_by_role("button", name="Load once").click()
    expect(page.locator("main").get_by_text("The images are being fetched")).to_be_visible()
    server.says("/pixel.gif", b"", 404)
    remote_images.fetch_images(message.pk, network=inside(server))
    expect(page.locator("main").get_by_text("1 of 2 remote images is shown, from our own copy.")).to_be_visible()
    shown = page.frame_locator("iframe.mail-frame").locator("img").first
    expect(shown).to_have_js_property("naturalWidth", 40)
    page.get_by_role("link", name="Hide them").click()
    expect(page.locator("main").get_by_text("2 remote images are blocked")).to_be_visible()
    assert foreign_requests == []
    assert problems == []


@pytest.mark.long
def test_always_for_a_sender_asks_once_and_is_taken_back(
    signed_in_page: Page, live_site: str, account: Account, server: ImageServer
) -> None:
    message = store(account, letter("News", html='<img src="http://news.example/a.png">'))
    page = signed_in_page
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{live_site}/messages/{message.pk}/")
    page.get_by_role("button", name="Always for this sender").click()
    remote_images.fetch_images(message.pk, network=inside(server))
    expect(page.locator("main").get_by_text("1 of 1 remote image is shown")).to_be_visible()
    page.get_by_role("link", name="Senders whose images you see").click()
    page.get_by_role("button", name="Block again").click()
    expect(page.locator("main").get_by_text("Nobody yet")).to_be_visible()
    page.goto(f"{live_site}/messages/{message.pk}/")
    expect(page.locator("main").get_by_text("1 remote image is blocked")).to_be_visible()


@pytest.mark.long
def test_a_preview_appears_by_itself_in_the_list_and_on_its_page(
    signed_in_page: Page, live_site: str, account: Account, foreign_requests: list[str]
) -> None:
    row = store(account, letter_with(picture("PDF", (300, 200)), "plan.pdf")).attachment_rows.get()
    page = signed_in_page
    page.goto(f"{live_site}/outbox/attachments/")
    expect(page.locator("a.thumb.waiting[hx-trigger='every 2s']")).to_be_visible()
    previews.make(row.digest)
    thumb = page.get_by_role("img", name="First page of plan.pdf")
    expect(thumb).to_be_visible()
    assert thumb.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 50
    page.get_by_role("link", name="First page of plan.pdf").click()
    expect(page.get_by_role("img", name="First page of plan.pdf")).to_be_visible()
    expect(page.get_by_role("link", name="Download")).to_be_visible()
    assert foreign_requests == []


@pytest.mark.long
def test_everything_is_reached_without_javascript(
    browser: Browser, live_site: str, account: Account, make_user: Callable[..., User], server: ImageServer
) -> None:
    user = make_user("operator")
    message = store(account, letter("News", html='<img src="http://news.example/a.png">', Cc="carl@x.example"))
    row = store(account, letter_with(picture(), "photo.png", "image/png")).attachment_rows.get()
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{live_site}/messages/{message.pk}/")
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill("sign-in-please")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Load once").click()
    remote_images.fetch_images(message.pk, network=inside(server))
    page.get_by_role("link", name="Look again").click()
    expect(page.locator("main").get_by_text("1 of 1 remote image is shown")).to_be_visible()
    page.get_by_role("link", name="Reply all").click()
    expect(page.get_by_label("Cc", exact=True)).to_have_value("bob@example.com, carl@x.example")
    page.goto(f"{live_site}/messages/{row.message_id}/attachments/{row.position}/preview/")
    expect(page.locator("main").get_by_text("The preview is being made")).to_be_visible()
    previews.make(row.digest)
    page.get_by_role("link", name="Look again").click()
    expect(page.get_by_role("img", name="First page of photo.png")).to_be_visible()
    page.goto(f"{live_site}/messages/{message.pk}/print/")
    expect(page.get_by_role("heading", name="News")).to_be_visible()
    page.context.close()


@pytest.mark.long
def test_the_page_for_paper_runs_nothing_and_prints(
    signed_in_page: Page, live_site: str, account: Account, foreign_requests: list[str]
) -> None:
    trick = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\"><p>the mail</p>"
    message = store(account, letter("Paper", html=trick))
    signed_in_page.goto(f"{live_site}/messages/{message.pk}/print/")
    assert signed_in_page.title() == "Message"
    assert signed_in_page.pdf()[:5] == b"%PDF-"
    assert foreign_requests == []
