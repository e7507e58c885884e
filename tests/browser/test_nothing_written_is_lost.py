"""What a person wrote stays theirs in a real browser: signed out at Send, and back at the page of what was sent."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, Route, expect

from mailbox.models import Account
from outbox.models import Draft, OutboxMessage, SavedReply
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


def _hold(page: Page, address: str) -> list[Route]:
    """Requests for the address wait in the list until the test lets them go on."""
    held: list[Route] = []
    page.route(address, lambda route: held.append(route))
    return held


def _typed_before_it_comes(page: Page, address: str, act: Callable[[], None], words: str) -> None:
    """Do what asks for `address`, and let the answer come after the words were typed."""
    held = _hold(page, address)
    with page.expect_request(address):
        act()
    page.keyboard.type(words)
    held[0].continue_()
    page.unroute(address)


@pytest.mark.parametrize("by", ["click", "key"])
def test_what_is_typed_before_the_answer_box_has_come_stands_in_it(
    signed_in_page: Page, live_site: str, account: Account, by: str
) -> None:
    message, page = store(account, letter("Where is it?")), signed_in_page
    page.goto(f"{live_site}{reverse('mailbox:message', args=[message.pk])}")
    link = page.locator("a[data-key=r]")
    press = link.click if by == "click" else (lambda: page.keyboard.press("r"))
    # Among them keys that are shortcuts of the page: c, g m, j, u, ?
    _typed_before_it_comes(page, "**/compose/?reply_to=*", press, "Thank you?\njug mug c")
    text = page.locator("#answer #id_body_text")
    expect(text).to_have_value(re.compile(r"^Thank you\?\njug mug c"))
    expect(text).to_be_focused()
    page.keyboard.type("up")
    expect(text).to_have_value(re.compile(r"^Thank you\?\njug mug cup"))
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    assert Draft.objects.get().body_text.startswith("Thank you?\njug mug cup")


def test_the_last_of_two_answers_asked_for_gets_what_was_typed_for_both(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    message, page = store(account, letter("Where is it?")), signed_in_page
    page.goto(f"{live_site}{reverse('mailbox:message', args=[message.pk])}")
    first = _hold(page, "**/compose/?reply_to=*")
    with page.expect_request("**/compose/?reply_to=*"):
        page.click("a[data-key=r]")
    page.keyboard.type("cu")
    _typed_before_it_comes(page, "**/compose/?forward=*", page.locator("a[href*='?forward=']").click, "g@example.com")
    expect(page.locator("#answer [name=to]")).to_have_value("cug@example.com")
    with page.expect_response("**/compose/?reply_to=*"):
        first[0].continue_()
    expect(page.locator("#answer [name=to]")).to_have_value("cug@example.com")
    expect(page.locator("#answer-title")).to_contain_text("Forward")


def test_what_is_typed_stays_where_the_answer_box_cannot_come(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    message, page = store(account, letter("Where is it?")), signed_in_page
    page.goto(f"{live_site}{reverse('mailbox:message', args=[message.pk])}")
    held = _hold(page, "**/compose/?reply_to=*")
    with page.expect_request("**/compose/?reply_to=*"):
        page.click("a[data-key=r]")
    page.keyboard.type("Thank you")
    held[0].abort()
    expect(page.locator("#answer [role=alert]")).to_contain_text("Copy what you typed, then open it. Open it")
    expect(page.locator("#answer textarea")).to_have_value("Thank you")
    expect(page.locator("#answer textarea")).to_be_focused()


def test_what_is_typed_before_a_saved_reply_has_come_stands_in_the_text(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    reply = SavedReply.objects.create(name="Regards", text="Kind regards")
    page = signed_in_page
    write(page, live_site)
    page.select_option("[name=saved_reply]", str(reply.pk))
    insert = page.locator("button[name=do][value=insert]")
    _typed_before_it_comes(page, "**/text/?*", insert.click, ", jug. ")
    expect(page.locator("[name=body_text]")).to_have_value("Dear Ann, jug. Kind regards")


@pytest.mark.parametrize(
    ("key", "address", "field"), [("c", "**/outbox/compose/", "#id_to"), ("/", "**/messages/", "input[type=search]")]
)
def test_what_is_typed_while_the_page_to_type_in_is_on_its_way_stands_in_its_field(
    signed_in_page: Page, live_site: str, account: Account, key: str, address: str, field: str
) -> None:
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:list')}" if key == "c" else live_site)
    held = _hold(page, address)
    page.evaluate("key => document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))", key)
    page.keyboard.type("jug@example.com")
    held[0].continue_()
    page.unroute(address)
    expect(page.locator(field)).to_have_value("jug@example.com")
    expect(page.locator(field)).to_be_focused()


def test_send_while_the_site_does_not_answer_keeps_the_page_and_says_so(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    page = signed_in_page
    write(page, live_site)
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    page.context.set_offline(True)
    page.locator("[name=body_text]").press_sequentially(", one word more")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#draft-state")).to_contain_text("Nothing was sent: the site does not answer.")
    page.context.set_offline(False)
    page.dblclick("#send")
    page.wait_for_url(re.compile(r"/outbox/\d+/$"))
    assert [row.body_text for row in OutboxMessage.objects.all()] == ["Dear Ann, one word more"]
    assert not Draft.objects.exists()


def test_send_to_a_site_that_never_answers_says_so_in_the_end(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    page = signed_in_page
    page.clock.install()
    write(page, live_site)
    page.clock.run_for(5000)
    expect(page.locator("#draft-state")).to_contain_text("Kept as a draft")
    page.route("**/drafts/save/", lambda route: None)
    page.locator("[name=body_text]").press_sequentially(", one word more")
    with page.expect_request("**/drafts/save/"):
        page.click("#send")
    page.clock.run_for(21_000)
    expect(page.locator("#draft-state")).to_contain_text("Nothing was sent: the site does not answer.")
    page.unroute("**/drafts/save/")
    page.click("#send")
    page.clock.run_for(1000)
    page.wait_for_url(re.compile(r"/outbox/\d+/$"))
    assert [row.body_text for row in OutboxMessage.objects.all()] == ["Dear Ann, one word more"]


def test_leaving_a_text_that_the_site_did_not_take_asks_first(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    page = signed_in_page
    write(page, live_site)
    page.route("**/drafts/save/", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.locator("[name=body_text]").press_sequentially(", one word more")
    expect(page.locator("#draft-state")).to_contain_text("Not kept: the site does not answer.")
    page.once("dialog", lambda question: question.dismiss())
    with page.expect_event("dialog") as asked:
        page.get_by_role("link", name="Dashboard").click(no_wait_after=True)
    assert asked.value.type == "beforeunload"
    expect(page.locator("[name=body_text]")).to_have_value("Dear Ann, one word more")
