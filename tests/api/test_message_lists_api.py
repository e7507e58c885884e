"""Lists of messages by the API: order, conversations, the team's notes; and attachments of all mail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from mailbox import features
from mailbox.models import Account, Feature, TeamMark
from mailbox.models.team_marks import TEAM_FILTERS
from outbox.models import OutboxMessage
from tests.api.calling import Program, is_problem, ops, program, sales
from tests.api.operations import with_file
from tests.rows import folder_of, letter, letter_with, outbox_row, store

__all__ = ["ops", "program", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def walk(program: Program, query: str) -> list[dict[str, Any]]:
    """All rows of a list, two a page."""
    found, before = list[dict[str, Any]](), ""
    while True:
        page = program.get(f"{query}{'&' if '?' in query else '?'}limit=2{before}").json()["data"]
        found += page["items"]
        if page["next"] is None:
            return found
        before = f"&before={page['next']}"


def test_messages_are_listed_oldest_first_in_all_places(program: Program, ops: Account) -> None:
    now = timezone.now()
    rows = [store(ops, letter(f"Number {n}"), at=now - timedelta(hours=n)) for n in range(5)]
    newest = [each.pk for each in rows]
    folder = folder_of(ops).pk
    for place in ("", f"account={ops.pk}&", f"folder={folder}&"):
        assert [each["id"] for each in walk(program, f"/messages?{place}order=newest")] == newest
        assert [each["id"] for each in walk(program, f"/messages?{place}order=oldest")] == newest[::-1]
    assert is_problem(program.get("/messages?order=smallest"), 422, "Validation")


def test_messages_are_listed_by_conversation_and_a_conversation_is_read(program: Program, ops: Account) -> None:
    now = timezone.now()
    question = store(ops, letter("Question", Message_ID="<q@example.com>"), at=now - timedelta(hours=3))
    answer = store(ops, letter("Re: Question", In_Reply_To="<q@example.com>", Message_ID="<a@example.com>"), at=now)
    alone = store(ops, letter("Alone"), at=now - timedelta(hours=1))
    written = outbox_row(ops, "Re: Re: Question")
    OutboxMessage.objects.filter(pk=written.pk).update(parent=answer)
    for place in ("", f"&folder={folder_of(ops).pk}"):
        listed = walk(program, f"/messages?by=conversation{place}")
        assert [(each["id"], each["conversation_size"]) for each in listed] == [(answer.pk, 2), (alone.pk, 1)]
    assert program.get("/messages").json()["data"]["items"][0]["conversation_size"] is None
    assert is_problem(program.get("/messages?by=conversation&order=oldest"), 422, "Validation")
    found = program.get(f"/messages/{question.pk}/conversation").json()["data"]
    assert [(each["id"], each["outbox_id"]) for each in found["items"]] == [
        (question.pk, None),
        (answer.pk, None),
        (None, written.pk),
    ]
    assert not found["is_cut"] and found["items"][0]["text"] == "Dear Bob"


def test_messages_are_listed_by_the_notes_of_the_team_as_the_page_does(
    make_user: Callable[..., User], ops: Account
) -> None:
    user = make_user("operator")
    program = Program(user)
    mine, done, noted, bare = (store(ops, letter(name)) for name in ("mine", "done", "noted", "bare"))
    TeamMark.objects.create(message=mine, assigned_to=user)
    TeamMark.objects.create(message=done, done_at=timezone.now())
    TeamMark.objects.create(message=noted, note="Ask Bob")
    everything = {mine.pk, done.pk, noted.pk, bare.pk}
    due = {
        "mine": {mine.pk},
        "assigned": {mine.pk},
        "open": everything - {done.pk},
        "done": {done.pk},
        "note": {noted.pk},
        "unopened": everything,
    }
    assert due.keys() == TEAM_FILTERS.keys()
    for name, pks in due.items():
        for place in ("", f"&folder={folder_of(ops).pk}"):
            assert {each["id"] for each in walk(program, f"/messages?team={name}{place}")} == pks, name
    assert is_problem(program.get("/messages?team=nobody"), 422, "Validation")


def test_attachments_of_received_and_written_mail_are_listed_with_the_pages_filters(
    program: Program, ops: Account, sales: Account
) -> None:
    received = store(ops, letter_with(b"%PDF-1.4", "June.pdf"), at=timezone.now() - timedelta(days=3))
    picture = store(sales, letter_with(b"x" * 200_000, "photo.png", "image/png"), at=timezone.now() - timedelta(days=2))
    written = with_file(ops)
    every = walk(program, "/attachments")
    keys = [(each["message_id"], each["outbox_id"], each["filename"]) for each in every]
    assert keys == [(None, written.pk, "report.pdf"), (picture.pk, None, "photo.png"), (received.pk, None, "June.pdf")]
    day = (timezone.now() - timedelta(days=1)).date().isoformat()
    for query, names in {
        "direction=received": ["photo.png", "June.pdf"],
        "direction=sent": ["report.pdf"],
        "type=image": ["photo.png"],
        "size=100k": ["photo.png"],
        "q=june": ["June.pdf"],
        f"account={sales.pk}": ["photo.png"],
        f"since={day}": ["report.pdf"],
        f"until={day}": ["photo.png", "June.pdf"],
    }.items():
        assert [each["filename"] for each in walk(program, f"/attachments?{query}")] == names, query
    for wrong in ("type=cheese", "size=2m", "since=June", "before=x", "direction=up"):
        assert is_problem(program.get(f"/attachments?{wrong}"), 422, "Validation"), wrong
    features.change(Feature.INBOX_READ, ops, features.NONE)
    assert [each["filename"] for each in walk(program, "/attachments")] == ["report.pdf", "photo.png"]


def test_a_token_of_one_account_lists_its_files_alone(
    make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    store(ops, letter_with(b"%PDF-1.4", "June.pdf"))
    bound = Program(make_user("administrator"), accounts=[sales])
    assert walk(bound, "/attachments") == []
    assert is_problem(bound.get(f"/attachments?account={ops.pk}"), 404, "NotFound")
