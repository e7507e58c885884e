"""Conversations: what belongs together stands together, in whatever order it came and whatever a forger claims."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailbox.messages import conversations
from mailbox.models import Account, ConversationLink, Message
from tests.rows import NOWHERE, letter, store

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


def mail(number: int, *references: int, reply_only: bool = False) -> bytes:
    headers = {"Message_ID": f"<m{number}@example.com>"}
    if references:
        headers["In_Reply_To"] = f"<m{references[-1]}@example.com>"
        if not reply_only:
            headers["References"] = " ".join(f"<m{each}@example.com>" for each in references)
    return letter(f"mail {number}", **headers)


def subjects(message: Message) -> set[str]:
    return set(conversations.members(message).values_list("subject", flat=True))


LETTERS = {1: mail(1), 2: mail(2, 1), 3: mail(3, 1, 2), 4: mail(4, 3, reply_only=True)}


@pytest.mark.parametrize("order", list(itertools.permutations(LETTERS)), ids=str)
def test_a_conversation_is_one_in_whatever_order_it_comes(account: Account, order: tuple[int, ...]) -> None:
    stored = [store(account, LETTERS[number]) for number in order]
    assert all(subjects(each) == {"mail 1", "mail 2", "mail 3", "mail 4"} for each in stored)


def test_a_batch_is_linked_as_the_same_mails_one_by_one(account: Account) -> None:
    stored = [store(account, LETTERS[number]) for number in (4, 2, 3, 1)]
    ConversationLink.objects.all().delete()
    conversations.link(stored)
    assert ConversationLink.objects.values("conversation").distinct().count() == 1


def test_answers_to_a_mail_that_never_came_stand_together(account: Account) -> None:
    first, second = store(account, mail(2, 1)), store(account, mail(3, 1, reply_only=True))
    assert subjects(first) == subjects(second) == {"mail 2", "mail 3"}


def test_a_mail_that_refers_to_two_conversations_joins_the_nearest_and_merges_nothing(account: Account) -> None:
    one, other = store(account, mail(1)), store(account, mail(10))
    both = store(account, mail(20, 1, 10))
    assert subjects(both) == {"mail 10", "mail 20"} == subjects(other)
    assert subjects(one) == {"mail 1"}


def test_a_later_forgery_of_a_message_id_takes_no_answers_along(account: Account) -> None:
    root, answer, other = store(account, mail(1)), store(account, mail(2, 1)), store(account, mail(10))
    forged = store(account, mail(1, 10).replace(b"mail 1", b"forged"))
    assert subjects(root) == subjects(answer) == {"mail 1", "mail 2"}
    assert subjects(forged) == subjects(other) == {"mail 10", "forged"}


def test_accounts_do_not_share_conversations(account: Account, make_account: Callable[..., Account]) -> None:
    other = make_account("other@example.com", **NOWHERE)
    here, there = store(account, mail(1)), store(other, mail(2, 1))
    assert subjects(here) == {"mail 1"}
    assert subjects(there) == {"mail 2"}


def test_references_without_end_are_bounded() -> None:
    many = " ".join(f"<{number}@example.com>" for number in range(100_000))
    found = conversations.references_of(many, "<parent@example.com>")
    assert found[0] == "0@example.com"
    assert found[-2:] == ["99999@example.com", "parent@example.com"]
    assert len(found) == conversations.MAX_REFERENCES + 1


@pytest.mark.parametrize("text", ["<>", "<<<<", "<a b>", ">" * 5000, "<" + "x" * 5000 + ">", ""])
def test_what_is_no_message_id_refers_to_nothing(text: str) -> None:
    assert conversations.references_of(text, text) == []


def test_one_mail_moves_a_bounded_number_of_answers(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "MAX_MOVED", 2)
    for number in range(10, 14):
        store(account, mail(number, 5, reply_only=True))
    store(account, mail(1))
    late = store(account, mail(5, 1))
    assert subjects(late) == {"mail 1", "mail 5", "mail 12", "mail 13"}


def test_a_batch_costs_the_same_queries_however_many_mails_it_has(account: Account) -> None:
    counts = []
    for batch in (range(100, 108), range(200, 232)):  # of the sizes that are one statement
        stored = [store(account, mail(number, number - 50)) for number in batch]
        ConversationLink.objects.filter(message__in=stored).delete()
        with CaptureQueriesContext(connection) as captured:
            conversations.link(stored)
        counts.append(len(captured))
    assert counts[0] == counts[1] == 3


def test_what_was_stored_before_there_were_conversations_is_linked_in_slices(account: Account) -> None:
    stored = [store(account, LETTERS[number]) for number in (4, 2, 3, 1)]
    ConversationLink.objects.all().delete()
    assert conversations.link_missing(3) == 3
    assert conversations.link_missing(3) == 1
    assert conversations.link_missing(3) == 0
    assert len(subjects(stored[0])) == 4


def test_the_newest_visible_mail_stands_for_its_conversation(account: Account) -> None:
    now = timezone.now()
    for number in (1, 2, 3):
        store(account, LETTERS[number], at=now + timedelta(minutes=number))
    store(account, mail(10), at=now)
    unlinked = store(account, mail(11), at=now - timedelta(hours=1))
    ConversationLink.objects.filter(message=unlinked).delete()
    heads = conversations.newest_of_each(Message.objects.visible()).order_by("-received_at")
    assert [each.subject for each in heads] == ["mail 3", "mail 10", "mail 11"]
    Message.objects.filter(subject="mail 3").update(gone_at=now)
    rows = list(conversations.with_sizes(heads))
    assert [(each.subject, each.conversation_size) for each in rows] == [  # type: ignore[attr-defined]
        ("mail 2", 2),
        ("mail 10", 1),
        ("mail 11", 1),
    ]
