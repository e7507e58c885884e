"""Lists of messages in the browser: in which order, what lies where, how it is marked, and what a page costs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, MessagePlace
from tests.mailbox.messages.message_pages import other_account, page
from tests.rows import folder_of, letter, letter_with, queries_of, store

__all__ = ["other_account"]
pytestmark = pytest.mark.django_db


def test_the_newest_message_of_all_accounts_stands_first(
    viewer: Client, account: Account, other_account: Account
) -> None:
    now = timezone.now()
    store(account, letter("of yesterday"), at=now - timedelta(hours=1))
    store(other_account, letter("of today"), at=now)
    shown = page(viewer, "mailbox:messages")
    assert 0 < shown.index("of today") < shown.index("of yesterday")
    assert other_account.email in shown


def test_pages_by_key_show_every_message_once_also_where_times_are_equal(viewer: Client, account: Account) -> None:
    at = timezone.now()
    pks = {store(account, letter(f"number {number}"), at=at).pk for number in range(7)}
    for start in ("", f"account={account.pk}", f"folder={folder_of(account).pk}"):
        url, seen = f"{reverse('mailbox:messages')}?limit=3&{start}", []
        while url:
            response = viewer.get(url)
            seen += [row.pk for row in response.context["rows"]]
            following = response.context["next_url"]
            url = reverse("mailbox:messages") + following if following else ""
        assert sorted(seen) == sorted(pks)
        assert seen == sorted(seen, reverse=True)


def test_the_oldest_may_stand_first_page_by_page(viewer: Client, account: Account) -> None:
    now = timezone.now()
    pks = [store(account, letter(f"number {each}"), at=now - timedelta(hours=each // 2)).pk for each in range(7)]
    for start in ("", f"account={account.pk}&", f"folder={folder_of(account).pk}&"):
        url, seen = f"{reverse('mailbox:messages')}?{start}limit=3&order=oldest", list[int]()
        while url:
            response = viewer.get(url)
            assert 'aria-sort="ascending"' in response.content.decode()
            assert response.context["poll_url"] == ""  # what is new stands at the far end
            seen += [row.pk for row in response.context["rows"]]
            following = response.context["next_url"]
            url = reverse("mailbox:messages") + following if following else ""
        assert seen == sorted(pks, key=lambda pk: (-(pks.index(pk) // 2), pk))


def test_a_list_by_conversation_has_one_order_and_an_unknown_one_is_refused(viewer: Client, account: Account) -> None:
    store(account, letter())
    first = viewer.get(reverse("mailbox:messages"))
    assert first.context["other_order"] == "?order=oldest"
    assert "order" not in viewer.get(f"{reverse('mailbox:messages')}?order=oldest").context["toggle_url"]
    assert not viewer.get(reverse("mailbox:messages"), {"by": "conversation"}).context["other_order"]
    assert viewer.get(reverse("mailbox:messages"), {"order": "sideways"}).status_code == 400


def test_a_folder_lists_only_what_lies_in_it_still(viewer: Client, account: Account) -> None:
    store(account, letter("in the inbox"))
    store(account, letter("archived"), folder="Archive")
    gone = store(account, letter("expunged"))
    MessagePlace.objects.filter(message=gone).update(gone_at=timezone.now())
    shown = page(viewer, "mailbox:messages", query=f"?folder={folder_of(account).pk}")
    assert "in the inbox" in shown
    assert "archived" not in shown
    assert "expunged" not in shown


def test_marks_say_in_words_what_their_colour_says(viewer: Client, account: Account) -> None:
    store(account, letter("plain"), seen=True)
    shown = page(viewer, "mailbox:messages")
    assert not any(word in shown for word in (">Unread<", ">Flagged<", ">Has attachments<", ">Answered<"))
    store(account, letter_with(b"%PDF", "a.pdf"), flagged=True, answered=True)
    shown = page(viewer, "mailbox:messages")
    assert all(word in shown for word in (">Unread<", ">Flagged<", ">Has attachments<", ">Answered<"))


def test_unread_messages_are_counted_by_account_and_folder(viewer: Client, account: Account) -> None:
    store(account, letter())
    store(account, letter(), folder="Archive", seen=True)
    side = viewer.get(reverse("mailbox:messages"), {"account": account.pk}).context["side"]
    assert {item.label: item.unread for item in side} == {account.email: 1, "INBOX": 1, "Archive": 0}


def test_two_mails_that_claim_one_message_id_are_marked_and_linked(viewer: Client, account: Account) -> None:
    first = store(account, letter("the real one", Message_ID="<dup@example.com>"))
    second = store(account, letter("the forged one", Message_ID="<dup@example.com>"))
    shown = page(viewer, "mailbox:messages")
    assert shown.count("2 claim this ID") == 2
    warned = page(viewer, "mailbox:message", first.pk)
    assert reverse("mailbox:message", args=[second.pk]) in warned
    assert "may be forged" in warned


@pytest.mark.parametrize("limit", ["0", "501", "-1", "ten", "", "1e2", "٣"])
def test_a_limit_outside_1_to_500_is_refused_with_a_sentence(viewer: Client, account: Account, limit: str) -> None:
    response = viewer.get(reverse("mailbox:messages"), {"limit": limit})
    assert response.status_code == 400
    assert "a number from 1 to 500" in response.content.decode()


def test_a_cursor_nobody_wrote_is_refused_with_a_sentence(viewer: Client) -> None:
    for cursor in ("x", "1", "1-2-3", "99999999999999999999-1"):
        response = viewer.get(reverse("mailbox:messages"), {"before": cursor})
        assert response.status_code == 400
        assert "start from its first page" in response.content.decode()


@pytest.mark.parametrize("query", ["", "?account={account}", "?folder={folder}"])
def test_a_list_costs_the_same_queries_however_many_rows_it_has(viewer: Client, account: Account, query: str) -> None:
    store(account, letter())
    address = reverse("mailbox:messages") + query.format(account=account.pk, folder=folder_of(account).pk)

    def add_rows() -> None:
        for number in range(18):
            store(account, letter(f"{number}"), folder=("INBOX", "Archive", f"F{number}")[number % 3])

    before, after = queries_of(viewer, address, add_rows)
    assert before == after <= 12


def test_an_empty_list_offers_the_next_step(viewer: Client, account: Account) -> None:
    assert "after the next sync" in page(viewer, "mailbox:messages")
    Account.objects.update(sync_enabled=False)
    assert "Fetching is switched off" in page(viewer, "mailbox:messages")
