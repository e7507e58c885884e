"""Whatever an SMTP server answers: a reply, or none; and words that every database and page holds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.smtp import replies
from outbox.smtp.dsn import from_xtext, xtext

LINES = st.lists(
    st.sampled_from([b"250", b"250-", b"550 5.1.1 ", b"354", b" ", b"-", b"\x00", b"\xff", b"9" * 3000, b"\r", b"\n"])
    | st.binary(max_size=12),
    max_size=6,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=5))
def test_any_line_is_a_reply_or_none(lines: list[bytes]) -> None:
    texts = []
    for line in lines:
        if parsed := replies.parse_line(line):
            code, _, words = parsed
            assert 200 <= code <= 599
            texts.append(words)
    text = replies.joined(250, texts).text
    assert len(text) <= replies.MAX_REPLY_CHARACTERS and "\0" not in text
    text.encode()


@given(st.text())
def test_a_value_comes_back_from_xtext(text: str) -> None:
    if all(ord(letter) < 256 for letter in text):
        assert from_xtext(xtext(text)) == text
