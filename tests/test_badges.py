"""How much needs somebody: in the navigation, the tab's title and its icon, on every page and for a page that stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from mailbox.models import Account, AccountGrant, PushHeartbeat, Quarantine, SyncState, UserPreference
from outbox.models import DeliveryReport, OutboxMessage
from tests.rows import NOWHERE, folder_of, outbox_row, workers_run

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


@pytest.fixture(autouse=True)
def _workers() -> None:
    workers_run()
    PushHeartbeat.beat("of web1", "web1", 2, {}, timezone.now())


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
    assert 'title="accounts in trouble or paused: 1">1</span>' in page


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
    for url in ("/accounts/", f"/accounts/{account.pk}/"):
        page = client.get(url).content.decode()
        outbox = f"/outbox/?account={account.pk}&amp;state"
        assert f'<a href="{outbox}=queued">2 wait</a>' in page
        assert f'href="{outbox}=failed_for_good">2 failed</a>' in page
        assert f'href="{outbox}=needs_decision">1 needs a decision</a>' in page
        assert f'<a href="{outbox}=sent&amp;sent_on={timezone.localdate(now)}">1 sent today</a>' in page
    shown = client.get(f"/accounts/{other.pk}/").content.decode()
    assert "never sent" in shown
    assert "0 sent today" in shown


def test_the_last_mail_and_those_of_today_are_links_to_exactly_these(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    """ "Today" is the reader's, here in a zone where it began many hours ago or begins many hours later than in UTC."""
    user = make_user("viewer")
    client.force_login(user)
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        UserPreference.objects.update_or_create(user=user, defaults={"time_zone": zone})
        OutboxMessage.objects.all().delete()
        midnight = timezone.localtime(timezone=ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
        last = outbox_row(account, "Last", status="sent", sent_at=midnight + timedelta(seconds=1))
        outbox_row(account, "Written later", status="sent", sent_at=midnight)
        outbox_row(account, "Yesterday", status="sent", sent_at=midnight - timedelta(seconds=1))
        outbox_row(account, "Failed", status="failed")
        outbox_row(make_account(**NOWHERE), "Another", status="sent", sent_at=midnight)
        for url in ("/accounts/?q=ops@", f"/accounts/{account.pk}/"):
            page = client.get(url).content.decode()
            assert re.search(rf'<a href="/outbox/{last.pk}/">last <time', page), zone
            found = re.search(r'<a href="(/outbox/[^"]+)">2 sent today</a>', page)
            assert found, zone
        rows = client.get(found[1].replace("&amp;", "&")).context["rows"]
        assert [each.row.subject for each in rows] == ["Written later", "Last"]


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "9999-12-31", "2026-11-30\0"])
def test_a_day_that_is_none_is_refused(client: Client, make_user: Callable[..., User], day: str) -> None:
    client.force_login(make_user("viewer"))
    answer = client.get("/outbox/", {"sent_on": day})
    assert answer.status_code == 400
    assert "is no day; write it as in 2026-03-31." in answer.content.decode()


def test_the_day_of_sending_is_a_filter_of_the_page_and_of_its_file(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("viewer"))
    for day in (30, 29):
        outbox_row(account, f"Of the {day}th", status="sent", sent_at=datetime(2026, 11, day, 12, tzinfo=UTC))
    page = client.get("/outbox/?state=sent&sent_on=2026-11-29").content.decode()
    assert "Of the 29th" in page and "Of the 30th" not in page
    assert 'name="sent_on" data-submits value="2026-11-29"' in page
    assert '<span dir="auto">Sent on Nov. 29, 2026</span>' in page
    assert "Sent on" not in client.get("/outbox/").content.decode()
    file = b"".join(client.get("/outbox/?sent_on=2026-11-29&format=csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert "Of the 29th" in file and "Of the 30th" not in file
