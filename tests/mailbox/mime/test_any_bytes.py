"""Paired messages are read as expected, and any bytes at all can be read."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbox.mime import message as mime_message
from tests.mailbox.mime.mime_messages import HEAD, multipart

MAIL = Path(__file__).parents[2] / "mail"


@pytest.mark.parametrize("path", sorted(MAIL.glob("*.eml")), ids=lambda path: path.stem)
def test_a_message_is_read_as_its_expected_values_say(path: Path) -> None:
    parsed = mime_message.parse(path.read_bytes())
    expected: dict[str, Any] = json.loads(path.with_suffix(".json").read_text("utf-8"))
    for name, value in expected.items():
        if name == "attachments":
            shown = [[a.filename, a.content_type, a.size, a.content_id, a.is_inline] for a in parsed.attachments]
            assert shown == value
        elif name == "date":
            assert parsed.date == datetime.fromisoformat(value)
        elif name == "defects":
            assert list(parsed.defects) == value
        else:
            assert getattr(parsed, name) == value, name


def test_a_huge_body_is_cut_in_the_tables_and_said_so() -> None:
    parsed = mime_message.parse(HEAD + b"\r\n" + b"x" * (mime_message.MAX_BODY_CHARACTERS + 1))
    assert len(parsed.body_text) == mime_message.MAX_BODY_CHARACTERS
    assert parsed.defects == ("BodyCut",)


def nested(depth: int) -> bytes:
    body = b"Content-Type: text/plain\r\n\r\ndeep\r\n"
    for level in range(depth):
        mark = b"b%d" % level
        body = (
            b"Content-Type: multipart/mixed; boundary="
            + mark
            + b"\r\n\r\n--"
            + mark
            + b"\r\n"
            + body
            + b"\r\n--"
            + mark
            + b"--\r\n"
        )
    return HEAD + body


def test_deep_nesting_is_read_to_a_limit_and_no_deeper() -> None:
    assert mime_message.parse(nested(90)).body_text.strip() == "deep"
    parsed = mime_message.parse(nested(2000))
    assert "NestingTooDeep" in parsed.defects
    assert parsed.attachments[0].content_type == "multipart/mixed"


def test_ten_thousand_parts_are_listed() -> None:
    raw = multipart(*(b"Content-Type: image/png\r\n\r\n%d" % number for number in range(10_001)))
    parsed = mime_message.parse(raw)
    assert len(parsed.attachments) == 10_000
    assert "TooManyParts" in parsed.defects


def assert_storable(parsed: mime_message.ParsedMessage) -> None:
    shown = json.dumps([str(value) for value in vars(parsed).values()], ensure_ascii=False)
    shown.encode("utf-8")
    for value in vars(parsed).values():
        assert not isinstance(value, str) or "\x00" not in value
    for attachment in parsed.attachments:
        assert 1 <= len(attachment.filename.encode()) <= 255
        assert not set(attachment.filename) & set("/\\\x00\r\n")
        assert len(attachment.content_type) <= 255
    assert 0 < len(parsed.message_id) <= 998
    assert len(parsed.snippet) <= 120


SEEDS = [path.read_bytes() for path in sorted(MAIL.glob("*.eml"))]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_can_be_read(raw: bytes) -> None:
    assert_storable(mime_message.parse(raw))
    mime_message.header_lines(raw)
    mime_message.inline_images(raw)


TRICKS = st.sampled_from(
    [
        b"\x00",
        b"\xed\xa0\x80",
        b"\r",
        b"\n\n",
        b"--",
        b"=?utf-8?B?",
        b"?=",
        b'"',
        b";",
        b"*0*=",
        b"%",
        b"\xff",
        b"<",
        b"charset=utf-16\r\n",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_mutated_message_can_be_read(data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from(SEEDS))
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(raw)))
        length = data.draw(st.integers(0, 40))
        raw = raw[:start] + data.draw(TRICKS | st.binary(max_size=8)) + raw[start + length :]
    parsed = mime_message.parse(raw)
    assert_storable(parsed)
    for attachment in parsed.attachments:
        assert len(mime_message.attachment_bytes(raw, attachment.position)) == attachment.size
