"""How many clicks an operator's commonest jobs take, from the dashboard."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page, Route, expect

from mailbox.models import Account
from mailbox.search.index import index_messages
from outbox.actions import bulk as actions_bulk
from outbox.models import Operation, OutboxMessage
from tests.rows import NOWHERE, attempt, letter, outbox_row, store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


class Hand:
    """Clicks, and counts what it clicked."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks = page, 0

    def click(self, selector: str) -> None:
        self.clicks += 1
        self.page.click(selector)

    def type(self, selector: str, text: str) -> None:
        """Where the cursor stands already: a click more otherwise."""
        expect(self.page.locator(selector)).to_be_focused()
        self.page.keyboard.type(text)


def question(account: Account, number: int) -> OutboxMessage:
    row = outbox_row(account, f"Invoice {number}", status="failed", hold="uncertain")
    attempt(row, outcome="uncertain")
    return row


def test_sixteen_uncertain_mails_are_settled_in_eighteen_clicks_at_most(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE)
    rows = [question(account, number) for number in range(16)]
    arrived, lost = rows[:8], rows[8:]
    hand = Hand(signed_in_page)
    hand.page.goto(live_site)
    hand.click("main a[href*='state=needs_decision']")
    for row in arrived:
        hand.click(f"input[name=pk][value='{row.pk}.1']")
    expect(hand.page.locator("[data-ticked]")).to_have_text("8 ticked")
    hand.click("#bulk button[value=mark_as_sent]")
    expect(hand.page.locator("main")).to_contain_text("They count as sent and are not tried again.")
    hand.click("#confirm")
    expect(hand.page.locator(".notice")).to_contain_text("8 marked as sent.")
    hand.click("[data-tick-all]")
    hand.click("#bulk button[value=send_again]")
    expect(hand.page.locator("main")).to_contain_text("may get them twice")
    hand.click("#confirm")
    expect(hand.page.locator("#operation")).to_contain_text("8 handed to a worker to be sent again.")
    assert hand.clicks <= 18
    states = {row.pk: (row.status, row.hold) for row in OutboxMessage.objects.all()}
    assert {states[row.pk] for row in arrived} == {("sent", "")}
    assert {states[row.pk] for row in lost} == {("failed", "")}


def test_all_that_failed_is_retried_in_two_clicks_by_a_button_with_their_number(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE)
    for number in range(3):
        outbox_row(account, f"Bill {number}", status="failed", hold="permanent")
    hand = Hand(signed_in_page)
    hand.page.goto(live_site)
    hand.click("main a[href*='state=failed_for_good']")
    expect(hand.page.locator("#retry-all")).to_have_text("Retry all 3 that failed")
    hand.click("#retry-all")
    expect(hand.page.locator("#operation")).to_be_visible()
    assert hand.clicks == 2
    actions_bulk.run(Operation.objects.get().pk)
    assert not OutboxMessage.objects.exclude(hold="").exists()


def test_one_that_failed_is_found_in_one_click_retried_in_two_and_its_address_corrected_in_three(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE)
    full, unknown = (
        outbox_row(account, f"Bill {said[:3]}", status="failed", hold="permanent", error=f"ann@example.com: {said}")
        for said in ("552 5.2.2 mailbox full", "550 5.1.1 no such user")
    )
    hand = Hand(signed_in_page)
    hand.page.goto(live_site)
    hand.click("main a[href*='state=failed_for_good']")
    for row in (full, unknown):
        expect(hand.page.get_by_role("link", name=row.subject, exact=True)).to_be_in_viewport()
    assert hand.clicks == 1
    hand.click(f"#row-{full.pk}-actions button:has-text('Retry')")
    expect(hand.page.locator(".notice[data-result]")).to_contain_text("handed to a worker, which tries it again.")
    assert hand.clicks == 2
    hand.page.goto(live_site)
    hand.clicks = 0
    hand.click("main a[href*='state=failed_for_good']")
    hand.click(f"#row-{unknown.pk}-actions a:has-text('Correct the address')")
    expect(hand.page.locator(".correction input")).to_be_focused()
    hand.page.fill(".correction input", "ann@example.org")
    hand.click("#correct")
    expect(hand.page.locator(".notice[data-result]")).to_contain_text("1 mail is queued to its corrected address")
    assert hand.clicks == 3
    assert set(OutboxMessage.objects.values_list("status", "recipients__address")) == {
        ("failed", "ann@example.com"),
        ("cancelled", "ann@example.com"),
        ("pending", "ann@example.org"),
    }


def test_a_new_password_takes_two_clicks(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE)
    account.imap.mark_needs_sign_in("[AUTHENTICATIONFAILED] no", timezone.now())
    hand = Hand(signed_in_page)
    hand.page.goto(live_site)
    hand.click("main a:has-text('Sign in again')")
    hand.type("[name=password]", "a new password")
    hand.click("main form .button.primary")
    expect(hand.page.locator(".notice[data-result]")).to_be_visible()
    assert hand.clicks == 2
    account.imap.refresh_from_db()
    assert (account.imap.password, account.imap.needs_sign_in_since) == ("a new password", None)


def test_gmail_is_added_in_four_clicks(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    make_account(**NOWHERE)
    hand = Hand(signed_in_page)
    hand.page.goto(live_site)
    hand.click(".topnav a[href='/accounts/']")
    hand.click("main a:has-text('Add account')")
    hand.type("[name=email]", "ann@gmail.com")
    hand.click("main form .button.primary")
    hand.type("[name=imap_password]", "an app password")
    hand.click("main form .button.primary")
    expect(hand.page.locator(".notice[data-result]")).to_contain_text("ann@gmail.com was added.")
    assert hand.clicks == 4
    assert Account.objects.get(email="ann@gmail.com").smtp.host == "smtp.gmail.com"


def test_all_sending_is_paused_in_two_clicks(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    make_account(**NOWHERE)
    hand = Hand(signed_in_page)
    hand.page.goto(live_site)
    hand.click("#switch")
    hand.click("#confirm")
    expect(hand.page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    assert hand.clicks == 2


def test_a_colleague_is_added_in_four_clicks(signed_in_page: Page, live_site: str) -> None:
    hand = Hand(signed_in_page)
    hand.page.goto(live_site)
    hand.click(".menu summary")
    hand.click("a[href='/people/invite/']")
    hand.type("[name=email]", "ann@example.test")
    hand.page.select_option("[name=role]", "operator")
    hand.click("main form .button.primary")
    expect(hand.page.locator("#link")).to_have_text(re.compile("^http://127.0.0.1:8000/password/link/invitation/"))
    assert hand.clicks + 1 <= 4  # choosing the role is one


def test_all_mail_of_a_customer_is_found_received_and_written_in_three_clicks(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE)
    index_messages([store(account, letter("Where is it?", **{"From": "Harbour <office@harbour.example>"}))])
    for status, subject in (("sent", "Receipt"), ("pending", "Offer")):
        outbox_row(account, subject, status=status, to="Office & Co <office@harbour.example>")
    hand = Hand(signed_in_page)
    hand.page.goto(live_site)
    hand.click(".topnav a[href='/messages/']")
    hand.click("input[name=q]")
    hand.type("input[name=q]", "harbour.example")
    hand.page.keyboard.press("Enter")
    expect(hand.page.locator("table.messages")).to_contain_text("Where is it?")
    hand.click("#in-outbox a")
    expect(hand.page.locator("table.outbox tbody tr")).to_have_count(2)
    assert hand.clicks == 3


def test_the_switch_sends_the_same_buttons_to_all_that_match(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE)
    rows = [question(account, number) for number in range(3)]
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:list')}?state=needs_decision")
    page.get_by_label("all 3 that match").check()
    page.click("#bulk button[value=send_again]")
    expect(page.locator("main")).to_contain_text("3 of 3 mails that match.")
    page.get_by_role("link", name="Back to the list").click()
    page.get_by_label("all 3 that match").check()
    page.locator(f"input[name=pk][value='{rows[0].pk}.1']").check()  # a tick says what is meant
    page.click("#bulk button[value=mark_as_sent]")
    expect(page.locator("h1")).to_have_text("Mark as sent: 1 mail?")


def test_a_row_ticked_before_the_lists_script_ran_is_what_is_meant_too(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE)
    rows = [question(account, number) for number in range(3)]
    script, page = list[Route](), signed_in_page
    page.route("**/outbox*.js", lambda route: script.append(route))
    page.goto(f"{live_site}{reverse('outbox:list')}?state=needs_decision", wait_until="commit")
    for box in (page.get_by_label("all 3 that match"), page.locator(f"input[name=pk][value='{rows[0].pk}.1']")):
        box.evaluate("box => box.click()")  # the tests' page takes clicks of the mouse once it has loaded
    script[0].continue_()
    expect(page.locator("[data-ticked]")).to_have_text("1 ticked")
    page.click("#bulk button[value=mark_as_sent]")
    expect(page.locator("h1")).to_have_text("Mark as sent: 1 mail?")


def test_a_day_that_is_picked_is_enough_and_one_that_is_typed_waits_for_enter(
    signed_in_page: Page, live_site: str
) -> None:
    page = signed_in_page
    page.goto(f"{live_site}{reverse('mailbox:activity')}")
    page.fill("[name=day]", "2026-03-01")  # as by the calendar: no key is pressed
    page.wait_for_url("**day=2026-03-01")
    page.focus("[name=day]")
    page.keyboard.type("02022026")  # month and day, in whichever order
    expect(page.locator("[name=day]")).to_have_value("2026-02-02")
    assert page.url.endswith("day=2026-03-01")
    page.keyboard.press("Enter")
    page.wait_for_url("**day=2026-02-02")


@pytest.mark.parametrize("has_scripts", [True, False])
def test_a_dangerous_button_asks_once_with_and_without_scripts(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account], has_scripts: bool
) -> None:
    row = question(make_account(**NOWHERE), 1)
    cookies = signed_in_page.context.cookies()
    browser = signed_in_page.context.browser
    assert browser
    context: BrowserContext = browser.new_context(java_script_enabled=has_scripts)
    context.add_cookies(cookies)  # type: ignore[arg-type]
    page, asked = context.new_page(), list[str]()
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    page.goto(f"{live_site}{reverse('outbox:detail', args=[row.pk])}")
    page.get_by_role("button", name="Send again").click()
    if not has_scripts:
        expect(page.locator("main")).to_contain_text("The recipient may get it twice")
        asked.append(page.locator("h1").inner_text())
        page.click("#confirm")
    expect(page.locator(".notice").first).to_contain_text("sends it again with the same Message-ID")
    assert len(asked) == 1
    context.close()


def test_the_focus_lands_on_the_result_and_the_tab_that_is_shown_is_in_sight_on_a_phone(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    outbox_row(make_account(**NOWHERE), status="failed", hold="permanent")
    page = signed_in_page
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{live_site}{reverse('outbox:list')}?state=failed_for_good")
    expect(page.locator("#tab-failed_for_good")).to_be_in_viewport(ratio=0.95)
    page.locator("input[name=pk]").check()
    page.click("#bulk button[value=cancel]")
    page.click("#confirm")
    expect(page.locator(".notice[data-result]")).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
