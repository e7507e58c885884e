"""What a person wrote stays theirs in a real browser: signed out at Send, and back at the page of what was sent."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, expect

from mailbox.models import Account
from outbox.models import Draft, OutboxMessage
from tests.rows import letter, store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


def write(page: Page, site: str) -> None:
    page.goto(f"{site}{reverse('outbox:compose')}")
    page.fill("[name=to]", "ann@example.com")
    page.fill("[name=subject]", "Offer")
    page.fill("[name=body_text]", "Dear Ann")


def test_send_while_signed_out_keeps_the_whole_mail_through_the_sign_in(
    signed_in_page: Page, live_site: str, account: Account, make_user: Callable[..., User]
) -> None:
    page, user = signed_in_page, make_user("operator")
    write(page, live_site)
    page.context.clear_cookies(name="sessionid")
    page.click("#send")
    expect(page.locator("main")).to_contain_text("You are signed out. Nothing was sent")
    expect(page.locator(".kept-text")).to_have_text("Dear Ann")
    assert not OutboxMessage.objects.exists()
    with page.context.expect_page() as opened:
        page.click("#sign-in")
    tab = opened.value
    tab.fill("[name=username]", user.username)
    tab.fill("[name=password]", "sign-in-please")
    tab.click("main form button")
    expect(tab).to_have_url(f"{live_site}/")
    page.click("#resume")  # with the token of before the sign-in: the page says so and goes on
    expect(page.locator("main")).to_contain_text("You signed in again since the page was loaded")
    page.click("#resume")
    expect(page.locator("[name=body_text]")).to_have_value("Dear Ann")
    expect(page.locator("[name=to]")).to_have_value("ann@example.com")
    page.click("#send")
    page.wait_for_url(re.compile(r"/outbox/\d+/$"))
    assert [(row.to, row.body_text) for row in OutboxMessage.objects.all()] == [("ann@example.com", "Dear Ann")]
    assert not Draft.objects.exists()


def test_back_after_send_leads_to_the_mail_that_was_made(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    page = signed_in_page
    write(page, live_site)
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    page.click("#send")
    page.wait_for_url(re.compile(r"/outbox/\d+/$"))
    page.go_back()
    expect(page.locator("h1")).to_have_text("Offer")
    expect(page).to_have_url(re.compile(rf"/outbox/{OutboxMessage.objects.get().pk}/$"))


def test_a_list_says_by_itself_what_came_and_stays_put_until_it_is_asked_for(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    page = signed_in_page
    store(account, letter("First"))
    page.goto(f"{live_site}{reverse('mailbox:messages')}")
    for number in range(2):
        store(account, letter(f"Later {number}"))
    expect(page.locator("#show-new")).to_have_text("2 new: show them", timeout=30_000)
    expect(page.locator("td.subject")).to_have_count(1)
    page.click("#show-new")
    expect(page.locator("td.subject")).to_have_count(3)
