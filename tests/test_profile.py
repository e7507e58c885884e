"""The user's time zone: chosen on the profile page, obeyed by every time shown and every time entered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AuditEntry, Counter, UserPreference
from outbox.models import OutboxMessage
from prx_email_site.dashboard import chart
from prx_email_site.templatetags.prx import exact
from tests.rows import NOWHERE, outbox_row

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
VIENNA, KOLKATA = "Europe/Vienna", "Asia/Kolkata"
AT = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def user(client: Client, make_user: Callable[..., User]) -> User:
    user = make_user("operator")
    client.force_login(user)
    return user


@pytest.fixture
def row(make_account: Callable[..., Account]) -> OutboxMessage:
    row = outbox_row(make_account("ops@example.com", **NOWHERE))
    OutboxMessage.objects.filter(pk=row.pk).update(created_at=AT)
    return row


def choose(client: Client, zone: str) -> str:
    response = client.post(reverse("profile"), {"time_zone": zone}, follow=True)
    return response.content.decode()


def detail_of(client: Client, row: OutboxMessage) -> str:
    return client.get(reverse("outbox:detail", args=[row.pk])).content.decode()


def test_times_are_the_sites_until_a_zone_is_chosen_and_name_their_zone(
    client: Client, user: User, row: OutboxMessage
) -> None:
    assert "2026-07-01 12:00:00 UTC" in detail_of(client, row)
    assert "Times are shown as in Europe/Vienna." in choose(client, VIENNA)
    page = detail_of(client, row)
    assert "2026-07-01 14:00:00 CEST" in page
    assert "12:00:00 UTC" not in page
    choose(client, "")
    assert "2026-07-01 12:00:00 UTC" in detail_of(client, row)


def test_the_choice_is_one_persons_own(
    client: Client, user: User, row: OutboxMessage, make_user: Callable[..., User]
) -> None:
    choose(client, VIENNA)
    client.force_login(make_user("viewer"))
    assert "2026-07-01 12:00:00 UTC" in detail_of(client, row)
    client.force_login(user)  # a new session of the same person
    assert "2026-07-01 14:00:00 CEST" in detail_of(client, row)


def test_the_zone_ends_with_the_request(client: Client, user: User) -> None:
    choose(client, VIENNA)
    client.get(reverse("dashboard"))
    assert timezone.get_current_timezone_name() == "UTC"
    assert exact(AT).endswith("UTC")


def test_a_time_that_is_entered_is_one_of_the_users_zone(client: Client, user: User, row: OutboxMessage) -> None:
    choose(client, KOLKATA)
    to_come = timezone.now() + timedelta(days=30)
    wall = to_come.replace(hour=9, minute=0, second=0, microsecond=0, tzinfo=None)
    client.post(reverse("outbox:reschedule", args=[row.pk]), {"send_at": f"{wall:%Y-%m-%dT%H:%M}"})
    row.refresh_from_db()
    assert row.send_at == (wall - timedelta(hours=5, minutes=30)).replace(tzinfo=UTC)


def test_each_change_is_written_down_and_no_change_is_not(client: Client, user: User) -> None:
    choose(client, VIENNA)
    choose(client, VIENNA)
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.target, entry.detail) == ("change_profile", f"user:{user.pk}", VIENNA)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "x" * 5000, "Europe/Vienna\x00", "localtime"])
def test_what_is_no_zone_is_refused_with_a_sentence(client: Client, user: User, zone: str) -> None:
    response = client.post(reverse("profile"), {"time_zone": zone})
    assert response.status_code == 200
    assert "There is no such time zone here; choose one of the list." in response.content.decode()
    assert not UserPreference.objects.exists()
    assert not AuditEntry.objects.exists()


def test_other_methods_are_refused(client: Client, user: User) -> None:
    assert client.put(reverse("profile")).status_code == 405


def test_signed_out_nothing_is_shown_or_stored(client: Client, db: None) -> None:
    for response in (client.get(reverse("profile")), client.post(reverse("profile"), {"time_zone": VIENNA})):
        assert response.url.startswith(reverse("login"))  # type: ignore[attr-defined]
    assert not UserPreference.objects.exists()


@pytest.mark.parametrize("stored", ["Mars/Olympus", "../x", "/etc/passwd"])
def test_a_zone_that_is_known_no_more_falls_back_to_the_sites(
    client: Client, user: User, row: OutboxMessage, stored: str
) -> None:
    UserPreference.objects.create(user=user, time_zone=stored)
    assert "2026-07-01 12:00:00 UTC" in detail_of(client, row)


def test_the_charts_table_names_the_zone_and_its_days_are_the_users(
    client: Client, user: User, row: OutboxMessage
) -> None:
    assert "From (UTC)" not in choose(client, VIENNA)
    Counter.add(row.account_id, "messages_received", timezone.now(), 41)
    assert "From (Europe/Vienna)" in client.get(reverse("dashboard") + "?period=month").content.decode()


def test_a_day_of_the_chart_begins_at_the_readers_midnight_also_when_summer_time_begins(row: OutboxMessage) -> None:
    now = datetime(2026, 4, 2, 10, tzinfo=UTC)
    Counter.add(row.account_id, "messages_received", datetime(2026, 3, 28, 22, tzinfo=UTC), 1)  # 23:00 on the 28th
    Counter.add(row.account_id, "messages_received", datetime(2026, 3, 28, 23, tzinfo=UTC), 2)  # 00:00 on the 29th
    Counter.add(row.account_id, "messages_received", datetime(2026, 3, 29, 22, tzinfo=UTC), 4)  # 00:00 on the 30th
    with timezone.override(VIENNA):
        drawn = chart.drawn(Counter.objects.all(), chart.period_named("month"), now)
        by_day = {f"{timezone.localtime(step.start):%d %b %H:%M}": step.received for step in drawn.steps}
    assert (by_day["28 Mar 00:00"], by_day["29 Mar 00:00"], by_day["30 Mar 00:00"]) == (1, 2, 4)
    assert [bar.title for bar in drawn.bars] == ["28 Mar: 1 received", "29 Mar: 2 received", "30 Mar: 4 received"]
