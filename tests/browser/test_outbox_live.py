"""The outbox while somebody works in it: what changes comes by itself, and nothing is taken from their hands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

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
    expect(page.locator(".topnav a[href='/outbox/'] .count")).to_have_text("2")  # not a minute later
    expect(tick).to_be_checked()
    expect(focused).to_be_focused()
    assert tick.bounding_box() == place
    outbox_row(account, "The newest", status="failed", hold="permanent")
    expect(page.locator("#show-new")).to_contain_text("1 new", timeout=15_000)
    expect(page.locator("#said")).to_have_text("1 new: show it")  # read out
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
    expect(page.locator("#said")).to_contain_text("has accepted it")  # read out, as the region was there before
    assert state.get_attribute("hx-get") is None


def test_a_question_answered_for_one_row_answers_none_for_another(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    """All rows share one form: the page may stay, as when a server answers nothing, and another row be clicked."""
    account = make_account(**NOWHERE)
    first, second = (outbox_row(account, name, status="failed", hold="permanent") for name in ("First", "Second"))
    page, sent = signed_in_page, list[str]()

    def answer_nothing(route: Route) -> None:
        sent.append(route.request.post_data or "")
        route.fulfill(status=204)

    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{live_site}{reverse('outbox:list')}?state=failed_for_good")
    cancel = reverse("outbox:cancel", args=[first.pk])
    page.route(f"**{cancel}", answer_nothing)
    with page.expect_request(f"**{cancel}"):
        page.click(f"button[formaction='{cancel}']")
    assert "confirmed=1" in sent[0]
    assert not page.evaluate("new FormData(document.getElementById('row-form')).has('confirmed')")
    page.click(f"button[formaction='{reverse('outbox:cancel', args=[second.pk])}']")
    expect(page.locator("main .notice").first).to_contain_text("Second")
    states = dict(OutboxMessage.objects.values_list("subject", "status"))
    assert states == {"First": "failed", "Second": "cancelled"}
