"""Reading on: next and previous within the list one came from, and an answer without a hand on the mouse."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from mailbox.models import Account
from outbox.models import Draft, OutboxMessage
from tests.browser.test_clicks import Hand
from tests.rows import NOWHERE, letter, store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


@pytest.mark.long
def test_j_and_k_read_on_within_the_list_also_beyond_its_page_and_u_goes_back_to_the_place(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE)
    for number in range(5):
        store(account, letter(f"Mail {number}", text="Dear Bob"))
    page = signed_in_page
    listed = f"{live_site}{reverse('mailbox:messages')}?limit=2&account={account.pk}"
    page.goto(listed)
    subjects = page.locator("td.subject .subject-words").all_inner_texts()
    page.locator("td.subject a").first.click()
    expect(page.locator("h1")).to_have_text(subjects[0])
    expect(page.locator("nav.walk a")).to_have_text(["Back to the list", "Next"])
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text(subjects[1])
    expect(page.locator("nav.walk a")).to_have_count(3)
    page.keyboard.press("j")  # beyond the page of two
    expect(page.locator("h1")).not_to_have_text(subjects[1])
    third = page.locator("h1").inner_text()
    assert third not in subjects
    expect(page.locator("nav.walk a")).to_have_count(3)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("h1")).to_have_text(subjects[1])
    expect(page.locator("nav.walk")).to_be_visible()
    page.keyboard.press("u")
    page.wait_for_url(listed)
    expect(page.locator("tr.at-hand td.subject")).to_contain_text(subjects[1])


@pytest.mark.long
def test_written_from_the_right_the_left_arrow_reads_on(
    browser: Browser, live_site: str, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    account, user = make_account(**NOWHERE), make_user("viewer")
    for number in range(2):
        store(account, letter(f"Mail {number}", text="Dear Bob"))
    context = browser.new_context(locale="ar")
    page = context.new_page()
    page.goto(f"{live_site}/login/?next={reverse('mailbox:messages')}")
    page.fill("[name=username]", user.username)
    page.fill("[name=password]", "sign-in-please")
    page.click("main form button")
    expect(page.locator("td.subject a")).to_have_count(2)
    subjects = page.locator("td.subject .subject-words").all_inner_texts()
    page.locator("td.subject a").first.click()
    expect(page.locator("nav.walk")).to_be_visible()
    page.keyboard.press("ArrowRight")  # there is no previous one
    page.keyboard.press("ArrowLeft")
    expect(page.locator("h1")).to_have_text(subjects[1])
    expect(page.locator("nav.walk")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text(subjects[0])
    context.close()


@pytest.mark.long
def test_a_message_that_was_opened_from_no_list_offers_no_next(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    message = store(make_account(**NOWHERE), letter("Alone", text="Dear Bob"))
    page = signed_in_page
    page.goto(f"{live_site}{reverse('mailbox:message', args=[message.pk])}")
    expect(page.locator("h1")).to_have_text("Alone")
    expect(page.locator("nav.walk")).to_be_hidden()
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text("Alone")


def test_a_mail_is_read_and_answered_in_three_clicks_and_the_list_is_back_at_the_next_one(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE, signature="Ops")
    alias = account.aliases.create(email="desk@example.com", signature="The $& desk")
    for number in range(3):
        store(account, letter(f"Mail {number}", text="Dear Bob"))
    hand = Hand(signed_in_page)
    page = hand.page
    page.goto(live_site)
    hand.click(".topnav a[data-go=m]")
    expect(page.locator("td.subject")).to_have_count(3)
    listed = page.url
    subjects = page.locator("td.subject .subject-words").all_inner_texts()
    hand.click(f"td.subject a:has-text('{subjects[1]}')")
    expect(page.locator("nav.walk")).to_be_visible()
    hand.click("a[href*='?reply_to=']")
    message = page.url
    expect(page.locator("#answer #id_body_text")).to_be_focused()
    expect(page.locator("h1")).to_have_text(subjects[1])  # the mail stands above its answer
    page.keyboard.type("Yes, gladly.")
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    page.reload()
    expect(page.locator("#answer #id_body_text")).to_have_value(re.compile("^Yes, gladly."))
    for key in ("Escape", "j"):  # no key of the list leads away from what is being written
        page.keyboard.press(key)
    page.click(".envelope summary")
    page.select_option("#answer [name=account]", f"{account.pk}-{alias.pk}")
    expect(page.locator("#answer #id_body_text")).to_have_value(re.compile("^Yes, gladly.\n\n-- \nThe \\$& desk\n"))
    expect(page.locator("[data-shows=account]")).to_contain_text("desk@example.com")
    page.locator("#answer #id_body_text").focus()
    page.keyboard.press("Control+Enter")
    page.wait_for_url(listed)
    assert hand.clicks == 3
    assert OutboxMessage.objects.get().body_text.startswith("Yes, gladly.")
    expect(page.locator(".notice[data-result]")).to_contain_text("is queued")
    expect(page.locator("tr.at-hand td.subject")).to_contain_text(subjects[2])
    page.goto(f"{message}?draft={Draft.objects.count() + 1}&key={_key_of(OutboxMessage.objects.get())}")
    expect(page.locator("#answer")).to_contain_text("Your answer was queued. Open it")
    page.goto(listed)
    page.keyboard.press("o")
    expect(page.locator("h1")).to_have_text(subjects[1])


def _key_of(row: OutboxMessage) -> str:
    """The key of the page (or draft) that the mail was made from."""
    return str(row.idempotency_key).rpartition("-")[0]
