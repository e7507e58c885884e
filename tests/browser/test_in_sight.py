"""What an operator sees at a glance: nothing shrinks, breaks or changes its place because of what stands beside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from api.models import Token
from mailbox.models import Account
from tests.rows import attempt, folder_of, outbox_row, workers_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]
PHONE = ViewportSize(width=390, height=844)
WIDE = ViewportSize(width=1440, height=900)


def test_the_figures_of_an_account_do_not_make_its_row_a_tower(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    workers_run()
    for hold in ("permanent", "uncertain"):
        outbox_row(account, status="failed", hold=hold)
    outbox_row(account)
    outbox_row(account, status="sent", sent_at=timezone.now())
    signed_in_page.set_viewport_size(WIDE)
    signed_in_page.goto(f"{live_site}{reverse('mailbox:accounts')}")
    figures = signed_in_page.locator("td.figures > div")
    expect(figures).to_have_count(5)
    lines = {figures.nth(number).bounding_box()["y"] for number in range(5)}  # type: ignore[index]
    assert len(lines) <= 3


def test_what_cancels_stands_in_one_place_in_every_row(signed_in_page: Page, live_site: str, account: Account) -> None:
    for hold, error in (("permanent", "550 5.1.1 No such user"), ("gave_up", "451 Later"), ("", "451 Later")):
        row = outbox_row(account, status="failed", hold=hold, error=error, error_code="permanent")
        attempt(row, finished_at=timezone.now(), outcome="permanent", phase="rcpt")
    signed_in_page.set_viewport_size(WIDE)
    signed_in_page.goto(f"{live_site}{reverse('outbox:list')}")
    last = signed_in_page.locator("td.row-actions .actions > :last-child")
    expect(last).to_have_count(3)
    for number in range(3):
        expect(last.nth(number)).to_contain_text("Cancel")


def test_a_box_beside_a_long_name_is_as_large_as_any(signed_in_page: Page, live_site: str, account: Account) -> None:
    folder_of(account, "INBOX")
    folder_of(account, "Archive/" + "Outstanding invoices of the customers " * 4)
    signed_in_page.set_viewport_size(PHONE)
    signed_in_page.goto(f"{live_site}{reverse('mailbox:account_folders', args=[account.pk])}")
    boxes = signed_in_page.locator("main form input[type=checkbox]")
    expect(boxes).to_have_count(2)
    assert [boxes.nth(number).bounding_box()["width"] for number in range(2)] == [16, 16]  # type: ignore[index]


def test_a_secret_is_copied_where_the_browser_has_no_clipboard(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    page = signed_in_page  # by http from another machine; this one's own address always has a clipboard
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.goto(f"{live_site}{reverse('api:tokens')}")
    page.fill("[name=name]", "billing")
    page.get_by_label("read mail").check()
    page.get_by_role("button", name="Make the token").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    secret = page.locator("#token").inner_text()
    assert Token.objects.count() == 1
    page.evaluate("document.body.append(Object.assign(document.createElement('textarea'), {id: 'paste'}))")
    page.focus("#paste")
    page.keyboard.press("Control+V")
    expect(page.locator("#paste")).to_have_value(secret)


def signed_in(context: BrowserContext, site: str, user: User) -> Page:
    page = context.new_page()
    page.goto(f"{site}{reverse('login')}")
    page.fill("[name=username]", user.username)
    page.fill("[name=password]", "sign-in-please")
    page.click("main form button")
    return page


def test_what_a_server_said_is_read_from_the_right_on_a_phone_and_has_its_whole_width(
    browser: Browser, live_site: str, account: Account, make_user: Callable[..., User]
) -> None:
    workers_run()
    account.imap.needs_sign_in_since = timezone.now()
    account.imap.last_reply = "The server refused the sign-in: [AUTHENTICATIONFAILED] Authentication failed."
    account.imap.save()
    context = browser.new_context(locale="ar", viewport=PHONE)
    page = signed_in(context, live_site, make_user("administrator"))
    need = page.locator(".needs-you .notice").filter(has_text=f"{account.email}: IMAP")
    expect(need.locator("strong")).to_have_css("direction", "rtl")  # though it begins with an address
    words, button = need.locator(".reply-words").bounding_box(), need.locator("a.button").bounding_box()
    assert words is not None and button is not None
    assert button["y"] >= words["y"] + words["height"]
    context.close()


def test_without_scripts_nothing_is_offered_that_only_scripts_can_do(
    browser: Browser, live_site: str, account: Account, make_user: Callable[..., User]
) -> None:
    account.imap.needs_sign_in_since = timezone.now()
    account.imap.last_reply = "[AUTHENTICATIONFAILED] Authentication failed."
    account.imap.save()
    context = browser.new_context(java_script_enabled=False)
    page = signed_in(context, live_site, make_user("administrator"))
    expect(page.locator(".reply-words code")).to_be_visible()
    expect(page.locator(".reply-words button")).to_be_hidden()
    page.goto(f"{live_site}{reverse('profile')}")
    expect(page.locator("[data-theme-choice]").first).to_be_hidden()
    context.close()


def test_each_entry_of_the_menu_has_one_line_and_signing_out_stands_apart(signed_in_page: Page, live_site: str) -> None:
    page = signed_in_page
    page.set_viewport_size(PHONE)
    page.goto(live_site)
    page.locator("details.menu > summary").click()
    entries = page.locator(".menu-items :is(a, button)")
    heights = {entries.nth(number).bounding_box()["height"] for number in range(entries.count())}  # type: ignore[index]
    assert heights == {34}
    expect(page.locator(".menu-items > hr + form")).to_contain_text("Sign out")
