"""A search's pages: the newest first, none skipped or repeated, at a bounded cost whatever is common or rare."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from mailbox.models import Account, Message
from mailbox.search.index import index_messages
from mailbox.search.results import FEW, search
from tests.mailbox.search.searched import NOON, account, ann, store, subjects

__all__ = ["account", "ann"]
pytestmark = pytest.mark.django_db


def test_newest_first_in_pages_that_neither_skip_nor_repeat(account: Account, ann: User):
    for number in range(25):
        # Three share each second: the key breaks the tie.
        store(account, str(number), "word", received_at=NOON + timedelta(seconds=number // 3))
    for query in ("word", "is:unread", "word is:unread", "word in:inbox", '"word"', "-other"):
        found: list[str] = []
        before = None
        while True:
            page = search(ann, query, limit=4, before=before)
            assert len(page.rows) <= 4
            found += [row.subject for row in page.rows]
            before = page.next
            if before is None:
                break
        assert found == [str(number) for number in reversed(range(25))], query


def test_a_page_in_the_middle_has_its_next_page_and_the_last_none(account: Account, ann: User):
    for number in range(4):
        store(account, str(number), "word", received_at=NOON + timedelta(minutes=number))
    first = search(ann, "word", limit=2)
    assert first.next is not None
    assert search(ann, "word", limit=2, before=first.next).next is None


def test_more_than_a_few_unread_are_found_too(account: Account, ann: User):
    messages = [
        Message(
            account=account,
            message_id=f"<many{number}@x>",
            raw_digest="0" * 64,
            received_at=NOON + timedelta(minutes=number),
            subject=str(number),
            body_text="common rare" if number == 3 else "common",
            seen=number % 2 == 0,
        )
        for number in range(2 * FEW + 10)
    ]
    Message.objects.bulk_create(messages)
    index_messages(messages)
    assert subjects(ann, "rare is:unread") == ["3"]
    assert len(subjects(ann, "common is:unread", limit=500)) == 500
    assert subjects(ann, "common is:unread", limit=1) == [str(2 * FEW + 9)]


def test_a_page_stops_looking_in_time_and_goes_on_from_there(account: Account, ann: User, monkeypatch: Any):
    monkeypatch.setattr("mailbox.search.results.LOOKED_AT", 3)
    monkeypatch.setattr("mailbox.search.results.FEW", 0)
    store(account, "flagged", "word", flagged=True)
    for number in range(12):
        store(account, str(number), "word", received_at=NOON + timedelta(minutes=1 + number))
    pages, found, before = 0, [], None
    while True:
        page = search(ann, "word is:flagged", limit=2, before=before)
        pages += 1
        found += [row.subject for row in page.rows]
        before = page.next
        if before is None:
            break
    assert found == ["flagged"]
    assert pages > 1


@pytest.mark.parametrize("common", [100, 0])
def test_a_common_word_with_a_rare_state_is_walked_to_stretch_by_stretch(
    account: Account, ann: User, monkeypatch: Any, common: int
):
    """PostgreSQL: rather than have GIN sort all hits of it (which `common` 0 does), and with the same outcome."""
    monkeypatch.setattr("mailbox.search.results.FEW", 0)
    monkeypatch.setattr("mailbox.search.lookup._MOST_WALKED", 4)
    monkeypatch.setattr("mailbox.search.lookup._COMMON", common)
    for number in range(40):
        word = "invoice" if number % 2 else "letter"
        at = NOON - timedelta(minutes=number)
        store(account, f"{word} {number}", received_at=at, seen=number not in (1, 17, 18, 33))
    assert subjects(ann, "invoice is:unread") == ["invoice 1", "invoice 17", "invoice 33"]
    first = search(ann, "invoice is:unread", limit=1)
    assert [row.subject for row in first.rows] == ["invoice 1"]
    assert subjects(ann, "invoice is:unread", before=first.next) == ["invoice 17", "invoice 33"]
    assert subjects(ann, "invoice is:unread -33") == ["invoice 1", "invoice 17"]


@pytest.mark.parametrize("limit", [0, 501, -1])
def test_a_limit_out_of_range_is_the_callers_mistake(ann: User, limit: int):
    with pytest.raises(ValueError, match="from 1 to 500"):
        search(ann, "word", limit=limit)


def test_the_number_of_queries_does_not_grow_with_the_rows(
    account: Account, ann: User, django_assert_max_num_queries: Any
):
    for _ in range(20):
        store(account, "subject", "word")
    for query in ("word", "is:unread", "word is:unread", "word in:inbox account:support", '"word"'):
        with django_assert_max_num_queries(12):
            page = search(ann, query)
            assert [row.account.email for row in page.rows] == ["support@example.test"] * 20
            assert [row.body_start for row in page.rows] == ["word"] * 20  # type: ignore[attr-defined]
