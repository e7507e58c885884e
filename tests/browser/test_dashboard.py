"""The dashboard and the accounts in a real browser: with and without JavaScript, and under the pointer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from mailbox.models import Account

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_dashboard_says_by_itself_that_a_server_refused_the_sign_in(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    problems: list[str] = []
    signed_in_page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    signed_in_page.goto(live_site)
    expect(signed_in_page.locator("main").get_by_text("IMAP needs sign-in")).to_have_count(0)
    account.imap.mark_needs_sign_in("[AUTHENTICATIONFAILED] no", timezone.now())
    expect(signed_in_page.locator("main").get_by_text("ops@example.com: IMAP needs sign-in", exact=True)).to_be_visible(
        timeout=12_000
    )
    assert problems == []


@pytest.mark.long
def test_nothing_moves_under_the_pointer(signed_in_page: Page, live_site: str, account: Account) -> None:
    signed_in_page.goto(live_site)
    signed_in_page.get_by_role("button", name="Pause", exact=True).hover()
    account.imap.mark_needs_sign_in("[AUTHENTICATIONFAILED] no", timezone.now())
    news = signed_in_page.locator("main").get_by_text("ops@example.com: IMAP needs sign-in", exact=True)
    signed_in_page.wait_for_timeout(6_500)  # more than one round of polling
    expect(news).to_have_count(0)
    signed_in_page.mouse.move(1, 1)
    expect(news).to_be_visible(timeout=12_000)


@pytest.mark.long
def test_a_tab_that_nobody_looks_at_asks_nothing_and_catches_up(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    """Headless Chromium hides no tab: what the page asks of the document is answered as in a hidden one."""
    hide = "hidden => Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden})"
    signed_in_page.goto(live_site)
    signed_in_page.evaluate(hide, True)
    signed_in_page.wait_for_load_state("networkidle")  # a round that was begun before may still be under way
    asked: list[str] = []
    signed_in_page.on("request", lambda request: asked.append(request.url))
    signed_in_page.wait_for_timeout(6_500)  # more than one round of polling
    assert asked == []
    account.imap.mark_needs_sign_in("[AUTHENTICATIONFAILED] no", timezone.now())
    signed_in_page.evaluate(hide, False)
    expect(signed_in_page.locator("main").get_by_text("ops@example.com: IMAP needs sign-in", exact=True)).to_be_visible(
        timeout=12_000
    )


def test_an_account_is_added_from_a_preset_and_corrected_without_javascript(
    browser: Browser, live_site: str, make_user: Callable[..., User]
) -> None:
    user = make_user("administrator")
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{live_site}/accounts/add/")
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill("sign-in-please")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Fastmail").click()
    page.get_by_label("E-mail address").fill("ann@example.com")
    page.locator("summary").filter(has_text="imap.fastmail.com").click()  # known servers are folded
    imap = page.get_by_role("group", name="IMAP, to fetch mail")
    imap.get_by_label("Host").fill("imap.example.com")
    page.get_by_role("group", name="Account").get_by_label("User name").fill("ann")
    page.get_by_role("button", name="Save and test").click()
    expect(page.locator("main").get_by_text("Give exactly one of password and OAuth token.")).to_be_visible()
    page.get_by_role("group", name="Account").get_by_label("Password").fill("sesame")
    page.get_by_role("button", name="Save and test").click()
    expect(page.get_by_role("heading", name="Connection test")).to_be_visible()
    account = Account.objects.select_related("imap", "smtp").get()
    assert (account.imap.host, account.smtp.host) == ("imap.example.com", "smtp.fastmail.com")
    assert account.smtp.password == "sesame"
    page.context.close()


def test_the_session_ends_and_the_page_asks_to_sign_in(signed_in_page: Page, live_site: str, account: Account) -> None:
    signed_in_page.goto(live_site)
    signed_in_page.context.clear_cookies()
    signed_in_page.wait_for_url(f"{live_site}/login/?next=/", timeout=12_000)
