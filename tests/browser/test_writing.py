"""Writing, bulk actions and the keyboard in a real browser, with scripts and without."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings

from mailbox.models import Account
from outbox.actions import bulk as actions_bulk
from outbox.compose import address_book
from outbox.models import Draft, Operation, OutboxMessage
from tests.rows import NOWHERE, letter, outbox_row, store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


@pytest.fixture
def plain_page(browser: Browser, live_site: str, make_user: Callable[..., Any]) -> Iterator[Page]:
    """An operator's page in a browser without JavaScript."""
    context = browser.new_context(java_script_enabled=False)
    page, user = context.new_page(), make_user("operator", password="sign-in-please")
    page.goto(f"{live_site}/login/")
    page.fill("[name=username]", user.username)
    page.fill("[name=password]", "sign-in-please")
    page.click("main form button")
    yield page
    context.close()


def test_a_draft_keeps_itself_and_is_there_after_the_sign_in_has_run_out(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:compose')}")
    page.fill("[name=subject]", "A long letter")
    page.type("[name=body_text]", "Dear Ann")
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    expect(page).to_have_url(re.compile(r"\?draft=\d+&key=[\w-]+$"))
    page.context.clear_cookies()
    page.type("[name=body_text]", ", one word more")
    expect(page.locator("#draft-state")).to_contain_text("you are signed out")
    page.reload()
    expect(page).to_have_url(re.compile("/login/"))
    assert Draft.objects.get().body_text == "Dear Ann"


def _numbered(body: str | None) -> list[str]:
    """The page and the number of a save: whichever of them arrives last, the highest number stands."""
    return [re.findall(rf'name="{name}"\s+(\S+)', body or "")[0] for name in ("page", "page_save")]


def test_what_was_typed_in_the_last_moment_before_leaving_is_kept_and_the_cursor_stays_where_one_writes(
    signed_in_page: Page, live_site: str, account: Account, make_account: Callable[..., Account]
) -> None:
    desk = make_account("desk@example.com", **NOWHERE)
    for each in Account.objects.all():
        Account.objects.filter(pk=each.pk).update(signature=f"Signed by {each.email}")
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:compose')}?account={desk.pk}")
    left: list[list[str]] = []
    page.on("request", lambda asked: left.append(_numbered(asked.post_data)) if "/drafts/save/" in asked.url else None)
    text = page.locator("[name=body_text]")
    text.press("Control+Home")
    page.keyboard.type("Dear Ann")
    page.select_option("[name=account]", label="ops@example.com")
    text.focus()
    page.keyboard.type(" and Bob")
    expect(text).to_have_value("Dear Ann and Bob\n\n-- \nSigned by ops@example.com\n")
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    page.keyboard.type(", the last words")
    page.get_by_role("link", name="Dashboard").first.click()
    expect(page).to_have_url(f"{live_site}/")
    assert left == [[left[0][0], str(number)] for number in range(1, len(left) + 1)]
    page.goto(f"{live_site}{reverse('outbox:drafts')}")
    page.get_by_role("link", name=re.compile("^Resume")).click()
    expect(text).to_have_value(re.compile("^Dear Ann and Bob, the last words"))


@pytest.mark.long
def test_a_second_tab_is_told_and_overwrites_nothing(signed_in_page: Page, live_site: str, account: Account) -> None:
    first = signed_in_page
    first.goto(f"{live_site}{reverse('outbox:compose')}")
    first.fill("[name=subject]", "One draft")
    expect(first.locator("#draft-state")).to_contain_text("Kept as a draft")
    second = first.context.new_page()
    second.goto(first.url)
    second.fill("[name=body_text]", "from the second tab")
    expect(second.locator("#draft-state")).to_contain_text("Kept as a draft")
    first.fill("[name=body_text]", "from the first tab")
    expect(first.locator("#draft-state")).to_contain_text("changed in another tab")
    expect(first.locator("[name=body_text]")).to_have_value("from the first tab")
    assert Draft.objects.get().body_text == "from the second tab"


DROP = """([name, type, size]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(size)], name, { type }));
  document.querySelector("form.compose").dispatchEvent(
    new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


def test_a_dropped_file_is_looked_at_before_it_travels_and_goes_out_once(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:compose')}")
    page.fill("[name=to]", "ann@example.com")
    page.fill("[name=subject]", "With a file")
    page.fill("[name=body_text]", "See the file.")
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    page.evaluate(DROP, ["bad.exe", "application/x-msdownload", 10])
    expect(page.locator("[data-refused]")).to_contain_text("bad.exe: its type application/x-msdownload")
    assert not asked
    page.evaluate(DROP, ["a.pdf", "application/pdf", 1000])
    expect(page.locator("#attached")).to_contain_text("a.pdf")
    page.click("#send")
    expect(page.locator("input[name=without]:invalid")).to_be_visible()
    assert not OutboxMessage.objects.exists()
    page.check("input[name=without]")
    page.click("#send")
    page.wait_for_url(re.compile(r"/outbox/\d+/$"))
    assert [file.filename for file in OutboxMessage.objects.get().attachment_rows.all()] == ["a.pdf"]
    assert not Draft.objects.exists()


@pytest.mark.long
def test_an_address_is_completed_with_the_keyboard(signed_in_page: Page, live_site: str, account: Account) -> None:
    store(account, letter(From="Zoe Miller <zoe@example.com>"))
    address_book.gather(timezone.now() + timedelta(hours=1))
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:compose')}")
    field = page.locator("[name=to]")
    field.type("bob@example.com, zo")
    expect(page.locator("li[role=option]")).to_have_text("Zoe Miller <zoe@example.com>")
    expect(field).to_have_attribute("aria-expanded", "true")
    field.press("Enter")
    expect(field).to_have_value("bob@example.com, Zoe Miller <zoe@example.com>, ")
    expect(page.locator(".known:visible")).to_have_count(0)


@pytest.mark.long
def test_the_keyboard_walks_ticks_opens_and_goes_back_but_not_while_typing(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    older, newer = (outbox_row(account, name, status="failed", hold="permanent") for name in ("Older", "Newer"))
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:list')}")
    page.keyboard.press("j")
    expect(page.locator("tr.at-hand")).to_contain_text("Newer")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(f"input[name=pk][data-row='{older.pk}']")).to_be_checked()
    expect(page.locator("[data-ticked]")).to_have_text("1 ticked")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{reverse('outbox:detail', args=[newer.pk])}")
    page.keyboard.press("u")
    page.wait_for_url(re.compile(r"/outbox/\?state="))
    page.keyboard.press("/")
    page.keyboard.type("jx?")
    expect(page.locator("main input[type=search]")).to_have_value("jx?")
    expect(page.locator("dialog")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("dialog[open]")).to_contain_text("next row")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url(f"{live_site}/")


@pytest.mark.long
def test_r_retries_the_row_at_hand(signed_in_page: Page, live_site: str, account: Account) -> None:
    row = outbox_row(account, "Refused", status="failed", hold="permanent")
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:list')}")
    page.keyboard.press("j")
    page.keyboard.press("r")
    expect(page.locator("main .notice").first).to_contain_text("tries it again")
    row.refresh_from_db()
    assert row.hold == ""


@pytest.mark.long
def test_shortcuts_can_be_switched_off(signed_in_page: Page, live_site: str, account: Account) -> None:
    outbox_row(account)
    page = signed_in_page
    page.goto(f"{live_site}{reverse('keyboard')}")
    page.uncheck("main [data-shortcuts-switch] input")
    page.goto(f"{live_site}{reverse('outbox:list')}")
    page.keyboard.press("j")
    page.keyboard.press("?")
    expect(page.locator("dialog[open]")).to_contain_text("next row")
    expect(page.locator("tr.at-hand")).to_have_count(0)


@pytest.mark.long
def test_all_that_match_are_counted_confirmed_and_told_with_a_script(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    _all_that_match(signed_in_page, live_site, account)


def test_all_that_match_are_counted_confirmed_and_told_without_a_script(
    plain_page: Page, live_site: str, account: Account
) -> None:
    _all_that_match(plain_page, live_site, account)


def _all_that_match(page: Page, live_site: str, account: Account) -> None:
    for number in range(3):
        outbox_row(account, f"Bill {number}", status="failed", hold="permanent")
    outbox_row(account, "Bill of the unknown", status="failed", hold="uncertain")
    outbox_row(account, "Greeting", status="failed", hold="permanent")
    page.goto(f"{live_site}{reverse('outbox:list')}?q=bill")
    page.get_by_label("all 4 that match").check()
    page.click("#bulk button[value=send_now]")
    expect(page.locator("main")).to_contain_text("3 of 4 mails that match.")
    expect(page.locator("main")).to_contain_text("1 because it may have gone out already")
    page.click("main form[data-once] button")
    page.wait_for_url(re.compile("/outbox/operations/"))
    actions_bulk.run(Operation.objects.get().pk)
    page.reload()
    expect(page.locator("#operation")).to_contain_text("3 handed to a worker to be sent now, 1 skipped: 1 because")
    assert OutboxMessage.objects.filter(hold="permanent").count() == 1


@pytest.mark.long
def test_without_scripts_a_mail_is_drafted_gone_on_with_discarded_sent_undone_and_copied(
    plain_page: Page, live_site: str, account: Account, settings: Settings
) -> None:
    settings.OUTBOX_UNDO_SECONDS = 60
    page = plain_page
    page.goto(f"{live_site}{reverse('outbox:compose')}")
    page.fill("[name=subject]", "By hand")
    page.click("button[value=draft]")
    expect(page.locator("main .notice")).to_contain_text("Kept as a draft.")
    page.fill("[name=to]", "ann@example.com")
    page.fill("[name=body_text]", "Dear Ann")
    page.set_input_files("[name=attachments]", [{"name": "a.txt", "mimeType": "text/plain", "buffer": b"words"}])
    page.click("#send")
    page.wait_for_url(re.compile(r"/outbox/\d+/$"))
    assert not Draft.objects.exists()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("[name=subject]")).to_have_value("By hand")
    page.goto(f"{live_site}{reverse('outbox:detail', args=[OutboxMessage.objects.get().pk])}")
    page.get_by_role("link", name="Edit copy").click()
    expect(page.locator("main")).to_contain_text("a.txt")
    page.click("button[value=draft]")
    page.get_by_role("link", name="Discard").click()
    page.get_by_role("button", name="Discard the draft").click()
    expect(page.locator("main")).to_contain_text("No drafts")
    page.get_by_role("link", name="Keyboard shortcuts").click()
    expect(page.locator("main")).to_contain_text("next row")
