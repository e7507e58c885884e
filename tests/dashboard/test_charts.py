"""Charts: each counter in its step, the day beside the day before, a table beside each drawing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import (
    Account,
    Counter,
    SyncState,
)
from outbox.models import OutboxMessage
from prx_email_site.dashboard import chart
from tests.dashboard.board import account, board
from tests.rows import NOWHERE, folder_of, outbox_row

pytestmark = pytest.mark.django_db

__all__ = ["account"]
NOW = datetime(2026, 3, 10, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "ago", "step"),
    [
        ("day", timedelta(0), -1),
        ("day", timedelta(hours=23), 0),
        ("week", timedelta(hours=2), -1),  # 12:00 to 18:00
        ("week", timedelta(hours=3), -2),
        ("month", timedelta(hours=14), -1),
        ("month", timedelta(days=29), 0),
    ],
)
def test_each_counter_falls_into_its_step(account: Account, key: str, ago: timedelta, step: int) -> None:
    Counter.add(account.pk, "messages_received", NOW - ago, 5)
    drawn = chart.drawn(Counter.objects.all(), chart.period_named(key), NOW)
    assert drawn.steps[step].received == 5
    assert drawn.totals.received == 5


def test_what_is_older_than_the_period_stands_beside_it_to_compare_with(account: Account) -> None:
    Counter.add(account.pk, "messages_received", NOW - timedelta(hours=24), 5)
    Counter.add(account.pk, "sends", NOW - timedelta(hours=48), 7)
    drawn = chart.drawn(Counter.objects.all(), chart.period_named("day"), NOW)
    assert drawn.bars == []
    assert drawn.totals_before == chart.Totals(received=5, sent=0, failed=0)
    assert drawn.before[-1].received == 5, "the same hour of the day before"
    assert len(drawn.lines_before) == 1, "nothing was sent, so there is no line of it"


@pytest.mark.parametrize(("received", "sent"), [(90, 10), (3, 0), (0, 8), (9_000, 1)])
def test_the_drawing_is_filled_from_its_top_to_its_foot(account: Account, received: int, sent: int) -> None:
    Counter.add(account.pk, "messages_received", NOW, received)
    Counter.add(account.pk, "sends", NOW, sent)
    bars = chart.drawn(Counter.objects.all(), chart.period_named("day"), NOW).bars
    top, foot = min(bar.y for bar in bars), max(bar.y + bar.height for bar in bars)
    assert 0 <= top <= 2
    assert chart.HEIGHT - 8 <= foot <= chart.HEIGHT


def test_one_mail_beside_thousands_is_still_seen(account: Account) -> None:
    Counter.add(account.pk, "messages_received", NOW, 9000)
    Counter.add(account.pk, "send_failures", NOW, 1)
    bars = {bar.kind: bar for bar in chart.drawn(Counter.objects.all(), chart.period_named("day"), NOW).bars}
    assert bars["failed"].height >= 1.5
    assert bars["received"].height > 120
    assert bars["failed"].title == "Tue 14:00: 1 failed"


def test_the_bars_are_drawn_with_a_table_beside_them(administrator: Client, account: Account) -> None:
    Counter.add(account.pk, "messages_received", timezone.now(), 41)
    page = board(administrator, "?period=week")
    assert '<rect class="bar received"' in page
    assert '<td class="number" data-label="received">41</td>' in page
    assert "There is nothing to compare with" in page
    assert "style=" not in page


def test_accounts_are_told_by_outcome_those_with_failures_first(
    administrator: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    other, now = make_account("busy@example.com", **NOWHERE), timezone.now()
    Counter.add(other.pk, "sends", now, 1_900)
    for name, number in (("sends", 150), ("send_failures", 50), ("messages_received", 7)):
        Counter.add(account.pk, name, now, number)
    outbox_row(account, status="failed", hold="permanent")
    page = administrator.get(reverse("charts")).content.decode()
    table = page.split('aria-labelledby="by-account"')[2].split("</table>")[0]
    assert table.index("ops@example.com") < table.index("busy@example.com")
    assert [part.split("<")[0] for part in table.split('data-label="of its tries">')[1:]] == ["25 %", "0 %"]
    assert f'?account={account.pk}&amp;state=failed_for_good">1</a>' in table


def test_how_long_sending_took_leaves_out_the_time_to_undo(administrator: Client, account: Account) -> None:
    now = timezone.now()
    for seconds in (2, 3, 4, 500):
        row = outbox_row(account, status="sent", provider_message_id="<a@b>", sent_at=now)
        began = now - timedelta(seconds=seconds)
        OutboxMessage.objects.filter(pk=row.pk).update(created_at=began - timedelta(seconds=10), undo_until=began)
    waits = administrator.get(reverse("charts")).context["waits"]
    assert [share.number for share in waits.shares] == [3, 0, 1, 0, 0, 0]
    assert (waits.half, waits.most) == ("4 s", "8 min")


def test_sync_lag_is_that_of_an_accounts_slowest_folder(
    administrator: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    late, never = make_account("late@example.com", **NOWHERE), make_account("never@example.com", **NOWHERE)
    for folder in (folder_of(late), folder_of(late, "Archive"), folder_of(never)):
        folder.sync_enabled = True
        folder.save()
        hours = {"INBOX": 0, "Archive": 2}[folder.name]
        if folder.account_id == late.pk:
            at = timezone.now() - timedelta(hours=hours)
            SyncState.objects.create(account=late, folder=folder, last_success_at=at)
    lags = administrator.get(reverse("charts")).context["lags"]
    assert [each.email for each in lags.furthest] == ["never@example.com", "late@example.com", "ops@example.com"]
    assert [share.number for share in lags.shares] == [1, 0, 0, 1, 0, 1]


def test_charts_without_mail_say_what_will_stand_there(administrator: Client, account: Account) -> None:
    Account.objects.update(sync_enabled=False)
    page = administrator.get(reverse("charts")).content.decode()
    for words in ("No mail came or went", "No account received", "No mail was accepted", "No folder of any account"):
        assert words in page
    assert "<svg class" not in page.split("<main")[1]
