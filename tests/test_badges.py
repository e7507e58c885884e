"""How much needs somebody: in the navigation, the tab's title and its icon, on every page and for a page that stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from mailbox.models import Account, AccountGrant, Counter, Quarantine, SyncState
from outbox.models import DeliveryReport
from tests.rows import NOWHERE, folder_of, outbox_row

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def fill(account: Account) -> None:
    """One of each that needs somebody, and one of each that does not."""
    for hold in ("uncertain", "permanent", "sign_in", ""):
        outbox_row(account, status="failed", hold=hold)
    sent = outbox_row(account, status="sent", sent_at=timezone.now())
    DeliveryReport.objects.create(outbox=sent, address="a@x.example", action="failed", reported_at=timezone.now())
    Quarantine.objects.create(account=account, folder=folder_of(account), uid=1, uidvalidity=1, error="Unreadable")
    SyncState.objects.create(account=account, folder=folder_of(account), failure_count=3, last_error="gone")


def test_navigation_title_and_icon_count_all_that_needs_somebody(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("viewer"))
    calm = client.get("/keyboard/").content.decode()
    assert "<title>Keyboard" in calm
    assert 'href="/static/img/icon.svg"' in calm
    fill(account)
    page = client.get("/keyboard/").content.decode()
    assert "<title>(6) Keyboard" in page
    assert 'href="/static/img/icon-needs.svg"' in page
    titles = "need a decision: 1, failed: 2, bounced or called unwanted, not seen yet: 1"
    assert f'<span class="count needs" title="{titles}">4</span>' in page
    assert 'title="could not be fetched or read: 1">1</span>' in page
    assert 'title="accounts in trouble: 1">1</span>' in page


def test_what_one_may_not_see_is_not_counted(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    fill(account)
    user = make_user("")
    AccountGrant.objects.create(user=user, account=make_account("other@example.com", **NOWHERE), role="operator")
    client.force_login(user)
    page = client.get("/keyboard/").content.decode()
    assert "<title>Keyboard" in page
    assert "count needs" not in page


def test_a_page_that_stays_open_gets_its_new_numbers_with_its_own_section_marked(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("viewer"))
    fill(account)
    part = client.get("/badges/?at=/outbox/", headers={"HX-Request": "true"}).content.decode()
    assert 'data-needs="6"' in part
    assert '<a href="/outbox/" data-go="o" aria-current="page">' in part
    assert 'hx-get="/badges/?at=%2Fkeyboard%2F"' in client.get("/keyboard/").content.decode()


def test_each_account_says_what_waits_failed_and_was_sent_with_links(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("viewer"))
    other, now = make_account("other@example.com", **NOWHERE), timezone.now()
    fill(account)
    outbox_row(account, status="pending")
    Counter.objects.create(account=account, name="sends", hour=now.replace(minute=0, second=0, microsecond=0), value=7)
    for url in ("/accounts/", f"/accounts/{account.pk}/"):
        page = client.get(url).content.decode()
        outbox = f"/outbox/?account={account.pk}&amp;state"
        assert f'<a href="{outbox}=queued">2 wait</a>' in page
        assert f'href="{outbox}=failed_for_good">2 failed</a>' in page
        assert f'href="{outbox}=needs_decision">1 needs a decision</a>' in page
        assert f'<a href="{outbox}=sent">7 sent today</a>' in page
    shown = client.get(f"/accounts/{other.pk}/").content.decode()
    assert "never sent" in shown
    assert "0 sent today" in shown
