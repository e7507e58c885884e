"""Conversations: what belongs together stands together, in whatever order it came and whatever a forger claims."""

from __future__ import annotations

import base64
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


@pytest.mark.parametrize(
    "form", ["m1@example.com", "<<m1@example.com>>", "<m1@example.com> (of Ann)", "<m1@example.com"]
)
def test_an_answer_joins_its_mail_in_whatever_form_it_names_it(account: Account, form: str) -> None:
    root = store(account, mail(1))
    by_field = letter("by In-Reply-To").replace(b"Subject:", b"In-Reply-To: " + form.encode() + b"\nSubject:")
    references = letter("by References").replace(b"Subject:", b"References: " + form.encode() + b"\nSubject:")
    for raw in (by_field, references):
        store(account, raw)
    assert subjects(root) == {"mail 1", "by In-Reply-To", "by References"}


def test_a_mail_whose_own_id_stands_in_another_form_is_the_one_that_answers_name(account: Account) -> None:
    store(account, mail(2, 1))
    root = store(account, mail(1).replace(b"<m1@example.com>", b"m1@example.com (x)"))
    assert subjects(root) == {"mail 1", "mail 2"}


THREAD = {"Thread_Index": base64.b64encode(bytes(range(22))).decode()}
ANSWER = {"Thread_Index": base64.b64encode(bytes(range(27))).decode()}


@pytest.mark.parametrize("is_answer_first", [False, True])
def test_outlooks_thread_index_joins_an_answer_without_references(account: Account, is_answer_first: bool) -> None:
    raws = [letter("Offer", **THREAD), letter("RE: Offer", **ANSWER)]
    first, second = [store(account, raw) for raw in (raws[::-1] if is_answer_first else raws)]
    assert subjects(first) == subjects(second) == {"Offer", "RE: Offer"}


def test_references_tell_more_than_a_thread_index(account: Account) -> None:
    store(account, letter("Offer", **THREAD))
    root = store(account, mail(1))
    answer = store(account, letter("RE: Offer", References="<m1@example.com>", **ANSWER))
    assert subjects(answer) == subjects(root) == {"mail 1", "RE: Offer"}


def test_programs_that_write_one_index_into_all_mails_merge_nothing(account: Account) -> None:
    report, alarm = store(account, letter("Report", **THREAD)), store(account, letter("Alarm", **THREAD))
    assert subjects(report) == {"Report"}
    assert subjects(alarm) == {"Alarm"}
