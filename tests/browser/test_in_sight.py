"""What an operator sees at a glance: nothing shrinks, breaks or changes its place because of what stands beside it."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from api.models import Token
from mailbox.models import Account
from tests.rows import attempt, folder_of, outbox_row, workers_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]
PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1440, "height": 900}


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
