"""Pages that live by asking: they say when nobody answers, and a ticked row stands for what is shown now."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from mailbox.models import Account
from outbox.models import OutboxMessage
from tests.rows import NOWHERE, attempt, outbox_row, workers_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]
# Whether the browser, drawing the calm icon and the other as a tab does, shows a dot of another colour in its corner.
DOT = """async () => {
  const { calm, needed } = document.querySelector("link[rel=icon]").dataset;
  const pixel = async (address) => {
    const picture = new Image(32, 32);
    picture.src = address;
    await picture.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
    const pen = canvas.getContext("2d");
    pen.drawImage(picture, 0, 0, 32, 32);
    return [...pen.getImageData(25, 7, 1, 1).data].join();
  };
  const [before, after] = [await pixel(calm), await pixel(needed)];
  return [before === "209,36,47,255", after === "209,36,47,255"];
}"""


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


def test_the_tab_of_a_page_that_stays_open_says_when_somebody_is_needed_and_when_no_more(
    signed_in_page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    workers_run()
    account, page, icon = make_account(**NOWHERE), signed_in_page, signed_in_page.locator("link[rel=icon]")
    Account.objects.update(push_enabled=False)
    page.clock.install()
    page.goto(f"{live_site}{reverse('keyboard')}")
    assert not page.title().startswith("(")
    expect(icon).to_have_attribute("href", "/static/img/icon.svg")
    row = outbox_row(account, status="failed", hold="uncertain")
    page.clock.run_for(61_000)  # it asks each minute
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    expect(page.locator(".topnav .count.needs")).to_have_text("1")
    expect(icon).to_have_attribute("href", "/static/img/icon-needs.svg")
    assert page.evaluate(DOT) == [False, True]
    OutboxMessage.objects.filter(pk=row.pk).delete()
    page.clock.run_for(61_000)
    expect(page).to_have_title(re.compile(r"^[^(]"))
    expect(icon).to_have_attribute("href", "/static/img/icon.svg")


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
