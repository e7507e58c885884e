"""Reading on: next and previous within the list one came from, and an answer without a hand on the mouse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from mailbox.models import Account
from outbox.models import OutboxMessage
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


def test_a_mail_is_read_and_answered_in_two_clicks_and_the_keyboard_and_the_next_is_one_key_away(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE)
    for number in range(2):
        store(account, letter(f"Mail {number}", text="Dear Bob"))
    page = signed_in_page
    page.goto(live_site)
    page.click(".topnav a[data-go=m]")
    expect(page.locator("td.subject")).to_have_count(2)
    subjects = page.locator("td.subject .subject-words").all_inner_texts()
    page.locator("td.subject a").first.click()
    expect(page.locator("h1")).to_have_text(subjects[0])
    expect(page.locator("nav.walk")).to_be_visible()
    page.keyboard.press("r")
    expect(page.locator("#id_body_text")).to_be_focused()
    page.keyboard.type("Yes, gladly.")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/outbox/*/")
    assert OutboxMessage.objects.get().body_text.startswith("Yes, gladly.")
    expect(page.locator("nav.walk")).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text(subjects[1])
