"""The main job of an operator in each shipped language: sign in, read, answer, decide, retry. Nothing of it is found by
English words, and what a person is told on the way is in their language."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.translation import gettext, ngettext, override
from playwright.sync_api import Browser, Page, ViewportSize, expect

from mailbox.models import Account
from outbox.models import Operation, OutboxMessage
from tests.rows import NOWHERE, attempt, letter, outbox_row, store

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PHONE, DESK = ViewportSize(width=390, height=800), ViewportSize(width=1440, height=900)


def sign_in(page: Page, site: str, user: User) -> None:
    page.goto(site)
    page.fill("[name=username]", user.username)
    page.fill("[name=password]", "sign-in-please")
    page.click("main form button")
    page.wait_for_url(lambda url: "/login" not in url)


def read_and_answer(page: Page) -> None:
    page.click(".topnav a[data-go=m]")
    page.locator("td.subject a").first.click()
    expect(page.locator("h1")).to_have_text("Mail 1")
    expect(page.locator("nav.walk")).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text("Mail 0")
    page.keyboard.press("r")
    expect(page.locator("#answer #id_body_text")).to_be_focused()
    page.keyboard.type("Yes, gladly.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".notice[data-result]")).to_be_focused()


def decide(page: Page, site: str, row: OutboxMessage, question: str) -> None:
    page.goto(site)
    page.click("main a[href*='state=needs_decision']")
    page.check(f"input[name=pk][value='{row.pk}.1']")
    page.click("#bulk button[value=mark_as_sent]")
    expect(page.locator("h1")).to_have_text(question)
    page.click("#confirm")
    expect(page.locator(".notice[data-result]")).to_be_focused()


def retry_what_failed(page: Page, site: str) -> None:
    page.goto(site)
    page.click("main a[href*='state=failed_for_good']")
    page.click("#retry-all")
    expect(page.locator("#operation")).to_be_visible()


@pytest.mark.parametrize(
    ("locale", "language", "size"),
    [("ar", "ar", DESK), ("ja", "ja", PHONE), ("ko", "ko", DESK), ("zh-CN", "zh-hans", PHONE)],
)
def test_the_main_job_is_done_in_each_language(
    browser: Browser,
    live_site: str,
    make_account: Callable[..., Account],
    make_user: Callable[..., User],
    locale: str,
    language: str,
    size: ViewportSize,
) -> None:
    account = make_account(**NOWHERE)
    for number in range(2):
        store(account, letter(f"Mail {number}", text="Dear Bob"))
    uncertain = outbox_row(account, "Invoice 1", status="failed", hold="uncertain")
    attempt(uncertain, outcome="uncertain")
    outbox_row(account, "Invoice 2", status="failed", hold="permanent")
    context = browser.new_context(locale=locale, viewport=size)
    context.set_default_timeout(15_000)
    page, errors = context.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    sign_in(page, live_site, make_user("administrator"))
    expect(page.locator("html")).to_have_attribute("lang", language)
    read_and_answer(page)
    answer = OutboxMessage.objects.latest("pk")
    assert answer.body_text.startswith("Yes, gladly.")
    with override(language):
        opens, verb = gettext("Open it"), str(Operation.Verb("mark_as_sent").label)
        question = ngettext("%(verb)s: %(number)s mail?", "%(verb)s: %(number)s mails?", 1)
    assert opens != "Open it"
    expect(page.locator(".notice[data-result] a").first).to_have_text(opens)
    question %= {"verb": verb, "number": 1}
    decide(page, live_site, uncertain, question)
    retry_what_failed(page, live_site)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    uncertain.refresh_from_db()
    assert (uncertain.status, uncertain.hold) == ("sent", "")
    assert errors == []
    page.goto(f"{live_site}{reverse('outbox:detail', args=[answer.pk])}")
    expect(page.locator("h1")).to_have_text("Re: Mail 0")
    context.close()


def test_the_sign_of_percent_stands_beside_its_number(
    browser: Browser, live_site: str, make_user: Callable[..., User]
) -> None:
    """In Chinese the column's heading is so short that the sign went to a second line, below the number."""
    context = browser.new_context(locale="zh-CN", viewport=DESK)
    page = context.new_page()
    sign_in(page, live_site, make_user("administrator"))
    page.goto(f"{live_site}{reverse('mailbox:features')}")
    label = page.locator("label:has(> .percent)").first
    around, number = label.bounding_box(), label.locator(".percent").bounding_box()
    assert around is not None
    assert number is not None
    assert around["height"] < number["height"] + 10
    context.close()
