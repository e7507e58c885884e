"""Pages that live by asking: they say when nobody answers, and a ticked row stands for what is shown now."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from mailbox.models import Account
from outbox.models import OutboxMessage
from tests.rows import NOWHERE, attempt, outbox_row

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


@pytest.mark.parametrize("how", ["500", "no answer"])
@pytest.mark.in_part(2)
def test_a_poll_that_fails_is_said_on_the_page_until_it_succeeds(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account], how: str
) -> None:
    outbox_row(make_account(**NOWHERE), status="failed", hold="permanent")
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:list')}")
    polls = "**/outbox/changes/**"
    page.route(polls, lambda route: route.fulfill(status=500) if how == "500" else route.abort())
    expect(page.locator("#stale")).to_contain_text("gave no answer to this page since", timeout=20_000)
    page.unroute(polls)
    expect(page.locator("#stale")).to_have_count(0, timeout=20_000)


@pytest.mark.long
def test_a_box_stands_for_the_attempt_that_is_shown(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    row = outbox_row(make_account(**NOWHERE), status="failed", hold="permanent")
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:list')}")
    box = page.locator("input[name=pk]")
    box.check()
    attempt(row, outcome="permanent")
    expect(page.locator(f"input[name=pk][value='{row.pk}.1']")).to_be_checked(timeout=20_000)
    page.click("#bulk button[value=cancel]")
    page.click("#confirm")
    expect(page.locator("main")).to_contain_text("1 cancelled.")
    assert OutboxMessage.objects.get().status == "cancelled"
