"""A stranger's mail in an answer of the API: letters as they are, a size in proportion, and a word where it is cut."""

from __future__ import annotations

import json

import pytest

from mailbox.mime import message as mime_message
from mailbox.mime.message import MAX_BODY_CHARACTERS
from mailbox.models import Account
from tests.api.calling import V1, Program, is_problem, mail, ops, program
from tests.mailbox.mime.mime_messages import HEAD
from tests.rows import store

__all__ = ["ops", "program"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
FACE = "\N{GRINNING FACE}"
UTF_8 = b"Content-Type: text/plain; charset=utf-8\r\n\r\n"


def test_two_million_letters_are_answered_in_their_own_bytes(program: Program, ops: Account) -> None:
    text = FACE * (MAX_BODY_CHARACTERS - 10) + '\x01\x7f\u2028"\\\n.'
    message = store(ops, HEAD + UTF_8 + text.encode())
    answer = program.get(f"/messages/{message.pk}")
    data = json.loads(answer.content)["data"]
    assert (data["body_text"].rstrip("\n"), data["texts_are_cut"]) == (text, False)
    assert len(answer.content) < len(text.encode()) + 5_000
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_a_text_that_is_cut_says_so_and_the_source_has_the_whole(program: Program, ops: Account) -> None:
    raw = HEAD + UTF_8 + (FACE * (MAX_BODY_CHARACTERS + 1)).encode()
    message = store(ops, raw, parse_defects=list(mime_message.parse(raw).defects))
    data = program.get(f"/messages/{message.pk}").json()["data"]
    assert (len(data["body_text"]), data["texts_are_cut"]) == (MAX_BODY_CHARACTERS, True)
    assert b"".join(program.get(f"/messages/{message.pk}/source").streaming_content) == raw


def test_a_program_is_told_where_the_rest_of_a_text_is(program: Program) -> None:
    schema = program.client.get(f"{V1}/openapi.json").json()["components"]["schemas"]["MessageWhole"]
    assert "texts_are_cut" in schema["required"]
    assert "/messages/{id}/source" in schema["properties"]["texts_are_cut"]["description"]


def test_half_a_character_that_a_program_sends_is_no_mistake_of_the_site(program: Program, ops: Account) -> None:
    half = {**mail(ops), "subject": "\ud800", "body_text": "x\udfff"}
    assert is_problem(program.post("/send", half), 422, "Validation")
    assert is_problem(program.post("/send", {**mail(ops), "\ud800": 1}), 422, "Validation")


def test_an_etag_is_of_the_bytes_that_are_answered(program: Program, ops: Account) -> None:
    message = store(ops, HEAD.replace(b"Subject: s", f"Subject: {FACE}".encode()) + UTF_8 + b"x")
    answer = program.get(f"/messages/{message.pk}")
    assert FACE.encode() in answer.content
    again = program.get(f"/messages/{message.pk}", **{"if-none-match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_a_list_holds_the_first_recipients_of_a_mail_to_all_the_world_and_the_message_all(
    program: Program, ops: Account
) -> None:
    everyone = ", ".join(f"P {number} <p{number}@example.com>" for number in range(6_000))
    store(ops, f"From: e@example.com\r\nTo: {everyone}\r\nCc: {everyone}\r\nSubject: s\r\n\r\nbody".encode())
    store(ops, HEAD + b"\r\nbody")
    lists = [
        program.get("/messages").json()["data"]["items"],
        program.get("/messages?by=conversation").json()["data"]["items"],
    ]
    for plain, many in lists:
        assert (plain["recipients"], plain["recipients_are_cut"]) == ("bob@example.com", False)
        for name in ("recipients", "cc"):
            assert 9_900 < len(many[name]) <= 10_000
            assert everyone.startswith(f"{many[name]}, ")
        assert many["recipients_are_cut"]
    whole = program.get(f"/messages/{lists[0][1]['id']}").json()["data"]
    assert len(whole["recipients"]) > 100_000
    assert whole["recipients_are_cut"] is False
