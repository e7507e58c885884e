"""Formatted writing in a real browser: asked for by a button, kept like any text, sent as HTML with its text."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import ConsoleMessage, FilePayload, Page, expect
from pytest_django import Settings

from mailbox.mime import message as mime_message
from mailbox.models import Account
from outbox.delivery.worker import DeliveryRunner
from outbox.models import Draft, OutboxMessage, SavedReply
from tests.rows import NOWHERE, letter, store
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000100000001008020000009091683600000017494441547801636068a0c8"
    "803f18d530aa61d8680000b3a53e01e7d8b6570000000049454e44ae426082"
)
PLAN: FilePayload = {"name": "plan.png", "mimeType": "image/png", "buffer": PNG}


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
    page.fill("[name=body_text]", "\n\n> is it ready?")
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    assert not [url for url in asked if "editor" in url], "before it is asked for, the editor is not fetched"
    formatted(page)
    assert [url for url in asked if "django_prose_editor/editor" in url]
    page.keyboard.type("Dear Ann,\n")
    page.keyboard.press("Control+b")
    page.keyboard.type("it is")
    page.keyboard.press("Control+b")
    page.keyboard.type(": ")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Picture").click()
    chooser.value.set_files([PLAN])
    picture = page.locator(".written img[draggable]")
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
    assert mail.body_html.rstrip() == (
        '<p dir="auto">Dear Ann,</p><p dir="auto"><strong>it is</strong>: '
        f'<img src="cid:{file.content_id}" alt="plan" style="max-width:100%"></p>'
        '<blockquote dir="auto"><p>is it ready?</p></blockquote>'
    )
    assert (file.filename, file.is_inline) == ("plan.png", True)
    assert not Draft.objects.exists()


def test_an_answer_in_the_thread_is_kept_through_a_reload_and_a_lost_sign_in(
    signed_in_page: Page, live_site: str, account: Account, make_user: Callable[..., User], complaints: list[str]
) -> None:
    Account.objects.update(signature="The desk")
    message, page = store(account, letter("Where is it?")), signed_in_page
    page.goto(f"{live_site}{reverse('mailbox:message', args=[message.pk])}")
    page.keyboard.press("r")
    expect(page.locator("[name=body_text]")).to_be_focused()
    formatted(page)
    page.keyboard.press("Control+i")
    page.keyboard.type("Here")
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    page.reload()
    written = page.locator("#answer .written")
    expect(written.locator("em")).to_have_text("Here")
    expect(written.locator("blockquote")).to_have_text("Dear Bob")
    expect(page.get_by_role("button", name="Formatting")).to_have_attribute("aria-pressed", "true")
    page.context.clear_cookies(name="sessionid")
    page.click("#send")
    expect(page.locator(".kept-text")).to_contain_text("Here\n\n-- \nThe desk")
    with page.context.expect_page() as opened:
        page.click("#sign-in")
    tab, user = opened.value, User.objects.get(username__startswith="administrator")
    tab.fill("[name=username]", user.username)
    tab.fill("[name=password]", "sign-in-please")
    tab.click("main form button")
    expect(tab).to_have_url(f"{live_site}/")
    page.click("#resume")
    page.click("#resume")
    expect(page.locator(".written em")).to_have_text("Here")
    page.click("#send")
    page.wait_for_url(lambda url: "/compose/" not in url)
    row = OutboxMessage.objects.get()
    assert row.body_html.startswith('<p dir="auto"><em>Here</em></p><p dir="auto">--<br>The desk</p>')
    assert row.body_html.endswith('<blockquote dir="auto"><p>Dear Bob</p></blockquote>')
    assert not Draft.objects.exists()
    assert [each for each in complaints if "401" not in each and "403" not in each] == []


PASTE = """([html]) => {
  const data = new DataTransfer();
  data.setData("text/html", html);
  data.setData("text/plain", "plain");
  document.querySelector(".written").dispatchEvent(
    new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


def test_what_is_pasted_linked_signed_and_inserted(
    signed_in_page: Page, live_site: str, account: Account, make_account: Callable[..., Account]
) -> None:
    desk = make_account("desk@example.com", **NOWHERE)
    for each in Account.objects.all():
        Account.objects.filter(pk=each.pk).update(signature=f"Signed by\n\n{each.email}")
    SavedReply.objects.create(name="Thanks", text="Thanks,\n\n{{ sender name }}")
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:compose')}?account={desk.pk}")
    text = page.locator("[name=body_text]")
    formatted(page)
    html = '<p onclick="x">From <b>afar</b><script>x</script><img src="https://t.example/a.gif" alt="dot"></p>'
    page.evaluate(PASTE, [html])
    expect(page.locator("[data-said]")).to_contain_text("Pictures of other sites were not pasted")
    page.keyboard.press("Control+k")
    page.keyboard.type("javascript:alert(1)")
    page.keyboard.press("Enter")
    expect(page.locator("[data-said]")).to_contain_text("no address")
    page.get_by_label("Address of the link").fill("example.org/plan")
    page.keyboard.press("Enter")
    page.select_option("[name=saved_reply]", label="Thanks")
    page.get_by_role("button", name="Insert").click()
    expect(text).to_have_value(re.compile("Thanks,"))
    page.select_option("[name=account]", label="ops@example.com")
    expect(text).to_have_value(
        '<p>From <strong>afar</strong>dot<a href="https://example.org/plan">example.org/plan</a></p>'
        "<p>Thanks,</p><p>desk@example.com</p><p>-- <br>Signed by<br><br>ops@example.com</p>"
    )
    page.locator(".written").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Formatting")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Bold")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Italic")).to_be_focused()
    page.once("dialog", lambda asked: asked.dismiss())
    page.get_by_role("button", name="Formatting").click()
    expect(page.locator(".written")).to_be_visible()
    page.once("dialog", lambda asked: asked.accept())
    page.get_by_role("button", name="Formatting").click()
    expect(text).to_have_value(
        re.compile("^From afardotexample.org/plan <https://example.org/plan>\n\nThanks,\n\ndesk@")
    )
    expect(text).to_be_focused()


def test_a_picture_is_attached_once_and_goes_with_its_place(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:compose')}")
    page.set_input_files("[name=attachments]", [PLAN])
    tick = page.get_by_label("plan.png")
    expect(tick).to_be_checked()
    formatted(page)
    page.get_by_role("button", name="Place in the text").click()
    picture = page.locator(".written img[draggable]")
    expect(picture).to_have_js_property("naturalWidth", 16)
    page.get_by_role("button", name="Undo the change").click()
    expect(picture).to_have_count(0)
    expect(tick).not_to_be_checked()
    page.get_by_role("button", name="Redo the change").click()
    expect(picture).to_have_count(1)
    expect(tick).to_be_checked()
    tick.uncheck()
    expect(picture).to_have_count(0)
