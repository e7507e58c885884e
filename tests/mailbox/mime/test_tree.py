"""The tree of parts agrees with the standard library's parser, which is slower and knows the RFCs, for any message."""

from __future__ import annotations

import re
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailbox.mime import header_block
from mailbox.mime import tree as mime_tree
from mailbox.mime.tree import Part

MAIL = Path(__file__).parents[2] / "mail"
SEEDS = [path.read_bytes() for path in sorted(MAIL.glob("*.eml"))]


class CarefulPart(Message):
    """What the standard library's parser builds, told that message/* is a leaf."""

    depth = 0

    def attach(self, payload: Any) -> None:
        payload.depth = self.depth + 1
        super().attach(payload)

    def get_content_type(self) -> str:
        stated = super().get_content_type()
        return "application/octet-stream" if stated.startswith("message/") else stated

    def get_content_maintype(self) -> str:
        return self.get_content_type().partition("/")[0]


Shape = tuple[str, object, tuple[str, ...]]


def plain(content_type: str) -> str:
    """One word for all types with 8-bit text in them, which the two repair in their own ways."""
    return content_type if content_type.isascii() else "not ASCII"


def careful_shape(part: Message) -> Shape:
    """Type, content or children, and defects of each part."""
    payload = part._payload  # type: ignore[attr-defined]
    inside = (
        [careful_shape(child) for child in payload]
        if isinstance(payload, list)
        else (payload or "").encode("ascii", "surrogateescape")
    )
    defects = dict.fromkeys(type(defect).__name__ for defect in part.defects)
    return plain(Message.get_content_type(part)), inside, tuple(sorted(defects))


def our_shape(raw: bytes, part: Part) -> Shape:
    inside = raw[part.start : part.end] if part.children is None else [our_shape(raw, each) for each in part.children]
    return plain(part.content_type), inside, tuple(sorted(dict.fromkeys(part.defects)))


LINE_ENDS = st.sampled_from([b"\r\n", b"\n", b"\r"])
BOUNDARIES = st.sampled_from([b"a", b"b", b"ab", b"b-", b"=_x(1)+"])
HEADERS = st.sampled_from(
    [
        b"Content-Type: text/plain",
        b"Content-Type: text/html; charset=utf-8",
        b"content-type:image/png",
        b"Content-Type: message/rfc822",
        b"Content-Type: nonsense",
        b"Content-Type: multipart/mixed",
        b"Content-Transfer-Encoding: base64",
        b"Subject: folded\n\tover lines",
        b"X-Empty:",
        b": no name",
        b" a continuation",
    ]
)
LINES = st.sampled_from(
    [
        b"",
        b"text",
        b"--",
        b"--a",
        b"--a--",
        b"--ab",
        b"--b--  ",
        b"--b x",
        b"x--a",
        b" --b",
        b"--b--\t",
        b"\x80\xff",
        b"-",
    ]
)


@st.composite
def messages(draw: st.DrawFn, depth: int = 0) -> bytes:
    """Messages put together right, and then a little wrong."""
    end = draw(LINE_ENDS)
    header = draw(st.lists(HEADERS, max_size=3))
    inside = draw(st.lists(LINES, max_size=6))
    if depth < 3 and draw(st.booleans()):
        mark = draw(BOUNDARIES)
        kind = draw(st.sampled_from([b"mixed", b"alternative", b"digest"]))
        header = [b'Content-Type: multipart/%s; boundary="%s"' % (kind, mark), *header]
        for child in draw(st.lists(messages(depth=depth + 1), max_size=3)):
            inside += [b"--" + mark, child]
        inside += draw(st.sampled_from([[b"--" + mark + b"--"], [], [b"--" + mark + b"--", b"epilogue"]]))
    gap = draw(st.sampled_from([[b""], [b""], [b""], []]))
    return end.join(line.replace(b"\n", end) if depth == 0 else line for line in [*header, *gap, *inside])


# A boundary closed at once, or the last line: the library takes the close for a boundary, and makes a part of nothing.
EMPTY_PART = re.compile(rb"(?:\A|[\r\n])--([^\r\n]*?)(?:--)?[ \t]*(?:\r\n|\r|\n|\Z)(?:\Z|--\1--[ \t]*(?:[\r\n]|\Z))")


# What ours reads further than the library does, and says so.
REPAIRS = {
    *("BoundaryGuessedDefect", "BoundaryOfParentDefect", "EncodedMultipartDefect", "JunkBeforeHeaderDefect"),
    *(
        "JunkInHeaderDefect",
        "LineEndDefect",
        "MimeFieldDefect",
        "MultipartWithoutPartsDefect",
        "PartsBehindCloseDefect",
    ),
    "SplitHeaderDefect",
}


def agrees(raw: bytes) -> None:
    """Compared where ours does not know better on purpose: junk in the header, two boundaries with nothing between."""
    is_repaired = bool(REPAIRS & set(mime_tree.defects(mime_tree.read_tree(raw))))
    if not header_block.readable(raw)[1] and not EMPTY_PART.search(raw) and not is_repaired:
        assert our_shape(raw, mime_tree.read_tree(raw)) == careful_shape(BytesParser(CarefulPart).parsebytes(raw))


@settings(max_examples=200, deadline=None)
@given(messages())
@example(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n")
def test_the_tree_of_any_message_is_the_careful_parsers(raw: bytes) -> None:
    agrees(raw)


@pytest.mark.parametrize("raw", SEEDS)
def test_the_tree_of_a_real_message_is_the_careful_parsers(raw: bytes) -> None:
    agrees(raw)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), LINES), max_size=4))
def test_the_tree_of_a_broken_message_is_the_careful_parsers(raw: bytes, cuts: list[tuple[float, int, bytes]]) -> None:
    for where, length, instead in cuts:
        at = int(where * len(raw))
        raw = raw[:at] + instead + raw[at + length :]
    if b"From " not in raw:
        agrees(raw)


@pytest.mark.parametrize(
    ("raw", "types"),
    [
        (b"Content-Type: multipart/mixed; boundary=a\n\n--a\n--a\n\nx\n--a--\n", ["text/plain"]),
        (b"Content-Type: multipart/mixed; boundary=a\n\n--a\n--a--\n", []),
        (
            b"Content-Type: multipart/mixed; boundary=gr\xc3\xbcn\n\n--gr\xc3\xbcn\n\nx\n--gr\xc3\xbcn--\n",
            ["text/plain"],
        ),
    ],
)
def test_where_the_tree_knows_better(raw: bytes, types: list[str]) -> None:
    assert [part.content_type for part in mime_tree.leaves(mime_tree.read_tree(raw))] == types
