"""Formatted writing in a real browser: asked for by a button, kept like any text, sent as HTML with its text."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import ConsoleMessage, Page, expect
from pytest_django import Settings

from mailbox.mime import message as mime_message
from mailbox.models import Account
from outbox.delivery.worker import DeliveryRunner
from outbox.models import Draft, OutboxMessage
from tests.rows import letter, store
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000100000001008020000009091683600000017494441547801636068a0c8"
    "803f18d530aa61d8680000b3a53e01e7d8b6570000000049454e44ae426082"
)


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the console says: nothing of ours may be refused by our own policy."""
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            said.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


def formatted(page: Page) -> None:
    page.get_by_role("button", name="Formatting").click()
    expect(page.locator(".written")).to_be_focused()


def test_a_formatted_mail_with_a_picture_arrives_as_html_and_as_text(
    signed_in_page: Page,
    live_site: str,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    complaints: list[str],
    settings: Settings,
) -> None:
    settings.OUTBOX_UNDO_SECONDS = 0
    server, page = smtp_server("tls"), signed_in_page
    account_on(server)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{live_site}{reverse('outbox:compose')}")
    page.fill("[name=to]", "ann@example.com")
    page.fill("[name=subject]", "The plan")
    page.fill("[name=body_text]", "Dear Ann,\n\n> is it ready?")
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    assert not [url for url in asked if "editor" in url], "before it is asked for, the editor is not fetched"
    formatted(page)
    assert [url for url in asked if "django_prose_editor/editor" in url]
    page.keyboard.press("Control+Home")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+b")
    page.keyboard.type("it is")
    page.keyboard.press("Control+b")
    page.keyboard.type(": ")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Picture").click()
    chooser.value.set_files([{"name": "plan.png", "mimeType": "image/png", "buffer": PNG}])
    picture = page.locator(".written img")
    expect(picture).to_have_js_property("naturalWidth", 16)
    expect(page.locator("#attached")).to_contain_text("plan.png")
    page.keyboard.press("Control+Enter")
    page.wait_for_url(re.compile(r"/outbox/\d+/$"))
    assert complaints == []
    DeliveryRunner().run(30)
    (arrived,) = server.mails()
    mail = mime_message.parse(arrived.raw)
    (file,) = mail.attachments
    assert mail.body_text == "Dear Ann,\n\nit is: [plan]\n\n> is it ready?\n"
    assert mail.body_html == (
        '<p dir="auto">Dear Ann,</p><p dir="auto"><strong>it is</strong>: '
        f'<img src="cid:{file.content_id}" alt="plan" style="max-width:100%"></p>'
        '<blockquote dir="auto"><p>is it ready?</p></blockquote>'
    )
    assert (file.filename, file.is_inline) == ("plan.png", True)
    assert not Draft.objects.exists()
