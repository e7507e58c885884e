"""The outbox's lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AccountGrant
from outbox.models import OutboxCount, OutboxMessage
from outbox.tasks import storage as storage_tasks
from outbox.views import visible_rows
from tests.outbox.outbox_pages import GREYLISTED, get, in_every_state, other_account
from tests.rows import attempt, outbox_row, queries_of, workers_run

__all__ = ["other_account"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_each_tab_lists_its_state_and_counts_it(viewer: Client, account: Account) -> None:
    rows = in_every_state(account)
    for state, row in rows.items():
        response = viewer.get(reverse("outbox:list"), {"state": state})
        assert [each.row for each in response.context["rows"]] == [row]
        counts = {tab.tab.name: tab.count for tab in response.context["tabs"] if tab.tab}
        assert counts == dict.fromkeys(rows, "1")


def test_a_row_shows_the_servers_first_line_tries_and_when_it_is_tried_next(viewer: Client, account: Account) -> None:
    workers_run()
    row = in_every_state(account)["retrying"]
    OutboxMessage.objects.filter(pk=row.pk).update(error=f"{GREYLISTED}\nsecond line")
    attempt(row, outcome="transient")
    attempt(row, outcome="transient")
    shown = get(viewer, "outbox:list", state="retrying")
    assert GREYLISTED in shown
    assert "second line" not in shown
    assert "2 tries" in shown
    assert re.search(r"data-countdown>in [23] min<", shown)


def test_filters_stand_in_the_address_and_hold_for_the_tabs_too(
    viewer: Client, account: Account, other_account: Account
) -> None:
    outbox_row(account, "Invoice 4411")
    outbox_row(other_account, "Invoice 4412")
    outbox_row(account, "Newsletter", cc="carol@example.org")

    def subjects(**query: Any) -> set[str]:
        response = viewer.get(reverse("outbox:list"), query)
        queued = next(tab for tab in response.context["tabs"] if tab.tab and tab.tab.name == "queued")
        assert queued.count == str(len(response.context["rows"]))
        return {each.row.subject for each in response.context["rows"]}

    assert subjects(q="invoice") == {"Invoice 4411", "Invoice 4412"}
    assert subjects(q="invoice", account=account.pk) == {"Invoice 4411"}
    assert subjects(q="carol@") == {"Newsletter"}
    assert "Nothing matches" in get(viewer, "outbox:list", q="no such words")
    outbox_row(account, "Übersicht für Ämter")
    for written in ("übersicht", "ÜBERSICHT FÜR", "Für ämter", "FÜR ÄMTER"):
        assert subjects(q=written) == {"Übersicht für Ämter"}, written


def test_a_reason_finds_the_rows_held_for_it(viewer: Client, account: Account) -> None:
    in_every_state(account)
    response = viewer.get(reverse("outbox:list"), {"reason": "permanent"})
    assert [each.row.subject for each in response.context["rows"]] == ["Refused one"]


def test_a_reason_narrows_its_own_tab_and_leaves_the_other_tabs_their_numbers(viewer: Client, account: Account) -> None:
    rows = in_every_state(account)
    outbox_row(account, "Tried for too long", status="failed", hold="gave_up")
    response = viewer.get(reverse("outbox:list"), {"state": "failed_for_good", "reason": "permanent"})
    tabs = {tab.tab.name: tab for tab in response.context["tabs"] if tab.tab}
    assert {name: tab.count for name, tab in tabs.items()} == dict.fromkeys(rows, "1")
    for name, tab in tabs.items():
        assert tab.query == f"state={name}" + "&reason=permanent" * (name == "failed_for_good")
        assert len(viewer.get(reverse("outbox:list") + f"?{tab.query}").context["rows"]) == 1
    everything = viewer.get(reverse("outbox:list"), {"reason": "permanent"}).context
    assert [tab.number for tab in everything["tabs"] if tab.current] == [len(everything["rows"])] == [1]


def test_no_button_acts_on_all_that_match_where_none_of_them_is_open(operator: Client, account: Account) -> None:
    in_every_state(account)
    outbox_row(account, "Cancelled two", status="cancelled")
    assert 'id="bulk"' in get(operator, "outbox:list", q="one")
    page = get(operator, "outbox:list", q="two")
    assert "Cancelled two" in page
    assert 'id="bulk"' not in page
    assert page.index('id="csv"') < page.index("<tbody>")  # in sight also above a long list


@pytest.mark.parametrize("query", [{"state": "lost"}, {"reason": "bad luck"}, {"limit": "501"}, {"limit": "0"}])
def test_an_address_that_asks_for_what_there_is_not_gets_a_sentence(viewer: Client, query: dict[str, str]) -> None:
    response = viewer.get(reverse("outbox:list"), query)
    assert response.status_code == 400
    assert re.search(r"Choose one|a number from 1 to 500", response.content.decode())


def test_pages_go_on_by_key_and_keep_the_filters(viewer: Client, account: Account) -> None:
    pks = [outbox_row(account, f"Invoice {number}").pk for number in range(5)]
    url, seen = f"{reverse('outbox:list')}?state=queued&limit=2&q=Invoice", []
    while url:
        response = viewer.get(url)
        seen += [each.row.pk for each in response.context["rows"]]
        following = response.context["next_url"]
        assert not following or ("state=queued" in following and "q=Invoice" in following)
        url = reverse("outbox:list") + following if following else ""
    assert seen == sorted(pks, reverse=True)


def test_the_oldest_may_stand_first_page_by_page_and_without_news_at_the_wrong_end(
    operator: Client, account: Account
) -> None:
    for number in range(5):
        outbox_row(account, f"Letter {number}")
    seen, query = [], "state=queued&order=oldest&limit=2"
    while query:
        response = operator.get(f"{reverse('outbox:list')}?{query}")
        seen += [each.row.subject for each in response.context["rows"]]
        query = response.context["next_url"].lstrip("?")
    assert seen == [f"Letter {number}" for number in range(5)]
    page = get(operator, "outbox:list", order="oldest")
    assert 'aria-sort="ascending"' in page
    assert 'aria-sort="descending"' in get(operator, "outbox:list")
    outbox_row(account, "A new one")
    poll = unescape(page.split(f'hx-get="{reverse("outbox:changes")}')[1].split('"')[0])
    poll = reverse("outbox:changes") + poll
    assert "A new one" not in operator.get(poll).content.decode()
    assert operator.get(poll).context["new"] == 0
    csv = b"".join(operator.get(reverse("outbox:list"), {"order": "oldest", "format": "csv"}).streaming_content)  # type: ignore[attr-defined]
    assert csv.index(b"Letter 0") < csv.index(b"Letter 4")


def test_the_list_costs_the_same_queries_however_many_rows_it_has(operator: Client, account: Account) -> None:
    in_every_state(account)

    def add_rows() -> None:
        for _round in range(3):
            for row in in_every_state(account).values():
                attempt(row)

    before, after = queries_of(operator, reverse("outbox:list"), add_rows)
    assert before == after <= 12


def test_a_count_that_grows_without_end_is_cut(
    viewer: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visible_rows, "COUNTED_AT_MOST", 2)
    for _number in range(3):
        outbox_row(account, status="sent")
    tabs = viewer.get(reverse("outbox:list")).context["tabs"]
    assert next(tab.count for tab in tabs if tab.label == "Sent") == "2+"


def count_of(client: Client, label: str, **query: Any) -> str:
    tabs = client.get(reverse("outbox:list"), query).context["tabs"]
    return str(next(tab.count for tab in tabs if tab.label == label))


def test_what_is_over_shows_the_number_that_the_clock_counted(
    viewer: Client, account: Account, other_account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visible_rows, "COUNTED_AT_MOST", 2)
    for _number in range(3):
        outbox_row(account, status="sent")
        outbox_row(other_account, status="sent")
    outbox_row(account, status="cancelled")
    storage_tasks.count_storage()
    assert count_of(viewer, "Sent") == "6"
    assert count_of(viewer, "Sent", account=account.pk) == "3"
    assert "Counted at" in viewer.get(reverse("outbox:list")).content.decode()
    # Few enough to be counted at this moment are.
    outbox_row(account, status="cancelled")
    assert count_of(viewer, "Cancelled") == "2"
    # Another filter narrows the list, and the clock knows nothing of it.
    assert count_of(viewer, "Sent", domain="example.com") == "2+"


def test_a_count_of_the_clock_is_right_again_after_each_count(viewer: Client, account: Account) -> None:
    rows = [outbox_row(account, status="sent") for _number in range(3)]
    storage_tasks.count_storage()
    OutboxCount.objects.update(number=77)
    rows[0].delete()
    storage_tasks.count_storage()
    assert list(OutboxCount.objects.values_list("status", "number")) == [("sent", 2)]


def test_counts_of_accounts_one_may_not_see_are_not_in_it(
    client: Client, make_user: Callable[..., User], account: Account, other_account: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(visible_rows, "COUNTED_AT_MOST", 2)
    in_every_state(other_account)
    for _number in range(3):
        outbox_row(account, status="sent")
        outbox_row(other_account, status="sent")
    outbox_row(account, status="pending")
    storage_tasks.count_storage()
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    client.force_login(user)
    counts = {tab.label: tab.count for tab in client.get(reverse("outbox:list")).context["tabs"]}
    assert counts == {
        "All": "", "Queued": "1", "Sending": "0", "Retrying": "0", "Needs a decision": "0", "Failed": "0",
        "Sent": "3", "Cancelled": "0",
    }  # fmt: skip
    assert count_of(client, "Queued", account=other_account.pk) == "0"


def test_a_text_is_looked_for_stretch_by_stretch(
    viewer: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [outbox_row(account, f"Invoice {number}", status="sent").pk for number in range(2)]
    for _number in range(5):
        outbox_row(account, "Other", status="sent")
    monkeypatch.setattr(visible_rows, "LOOKED_AT", 3)
    first = viewer.get(reverse("outbox:list"), {"q": "invoice"})
    assert first.context["rows"] == []
    assert "Look further back" in first.content.decode()
    assert next(tab.count for tab in first.context["tabs"] if tab.label == "Sent") == "0+"
    seen, url = [], first.context["next_url"]
    while url:
        page = viewer.get(reverse("outbox:list") + url)
        seen += [each.row.pk for each in page.context["rows"]]
        url = page.context["next_url"]
    assert seen == sorted(wanted, reverse=True)


def test_ages_are_exact_where_keys_and_times_go_against_each_other(viewer: Client, account: Account) -> None:
    now = timezone.now()
    ages = {
        "new": timedelta(minutes=1),
        "old": timedelta(hours=3),
        "newer": timedelta(minutes=2),
        "oldest": timedelta(9),
    }
    for subject, age in ages.items():
        OutboxMessage.objects.filter(pk=outbox_row(account, subject, status="sent").pk).update(created_at=now - age)

    def subjects(age: str) -> list[str]:
        page = viewer.get(reverse("outbox:list"), {"age": age})
        return [each.row.subject for each in page.context["rows"]]

    assert subjects("under-1h") == ["newer", "new"]
    assert subjects("over-1h") == ["oldest", "old"]
    assert subjects("over-7d") == ["oldest"]
    assert subjects("under-7d") == ["newer", "old", "new"]


def test_a_live_update_holds_only_what_changed_and_no_checkbox(operator: Client, account: Account) -> None:
    rows = in_every_state(account)
    poll = operator.get(reverse("outbox:list")).context["poll"]
    quiet = operator.get(poll).content.decode()
    assert "hx-swap-oob" not in quiet
    OutboxMessage.objects.filter(pk=rows["queued"].pk).update(status="sent")
    update = operator.get(poll).content.decode()
    assert f'id="row-{rows["queued"].pk}-state" hx-swap-oob="true"' in update
    assert f"row-{rows['retrying'].pk}-" not in update
    assert 'id="outbox-tabs"' in update
    assert "checkbox" not in update
    assert "<tr" not in update


def test_new_rows_wait_behind_their_number(operator: Client, account: Account) -> None:
    outbox_row(account)
    poll = operator.get(reverse("outbox:list")).context["poll"]
    outbox_row(account, "the new one")
    outbox_row(account, "another")
    update = operator.get(poll).content.decode()
    assert "2 new: show them" in update
    assert "the new one" not in update
