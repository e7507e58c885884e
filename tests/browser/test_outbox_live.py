"""The outbox while somebody works in it: what changes comes by itself, and nothing is taken from their hands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from mailbox.models import Account
from outbox.models import OutboxMessage
from tests.rows import NOWHERE, outbox_row

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


def test_a_live_update_changes_states_and_keeps_ticks_focus_and_places(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(**NOWHERE)
    rows = [outbox_row(account, f"Mail {number}", status="failed", hold="permanent") for number in range(3)]
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:list')}?state=failed_for_good")
    tick = page.locator(f"input[name=pk][value='{rows[1].pk}.0']")
    tick.check()
    place, focused = tick.bounding_box(), page.locator(f"#row-{rows[2].pk}-1")
    focused.focus()
    OutboxMessage.objects.filter(pk=rows[0].pk).update(status="sent", hold="", sent_at=timezone.now())
    expect(page.locator(f"#row-{rows[0].pk}-state")).to_contain_text("Sent", timeout=15_000)
    expect(page.locator("#tab-failed_for_good")).to_contain_text("2")
    expect(tick).to_be_checked()
    expect(focused).to_be_focused()
    assert tick.bounding_box() == place
    outbox_row(account, "The newest", status="failed", hold="permanent")
    expect(page.locator("#show-new")).to_contain_text("1 new", timeout=15_000)
    assert tick.bounding_box() == place


def test_the_page_of_a_send_follows_it_to_its_end(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    row = outbox_row(make_account(**NOWHERE))
    page = signed_in_page
    page.goto(f"{live_site}{reverse('outbox:detail', args=[row.pk])}")
    state = page.locator("#send-state")
    expect(state).to_contain_text("Queued")
    OutboxMessage.objects.filter(pk=row.pk).update(status="sent", sent_at=timezone.now())
    expect(state).to_contain_text("has accepted it", timeout=15_000)
    assert state.get_attribute("hx-get") is None
