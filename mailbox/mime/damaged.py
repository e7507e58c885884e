"""Guesses the boundary of a damaged multipart, or the type of its content. Pure, linear in time for any bytes.

`start`, `end` and `position` are offsets in `raw`, the message's bytes.
"""

from __future__ import annotations

import re

_LOOKED_AT = 1_000_000  # bytes in which a boundary is searched for
_HEADER_LOOKED_AT = 2_000
_MOST_CLOSES = 20  # closing lines that are tried, each with a search from the beginning

# A boundary has at most 70 characters (RFC 2046 section 5.1.1); senders write longer ones, so 200 are taken.
_BEGIN = re.compile(rb"^--([^\r\n]{1,200})(?:\r\n|\r|\n)(?=content-[a-z-]{1,40}[ \t]*+:)", re.I | re.M)
_CLOSE = re.compile(rb"^--([^\s-][^\r\n]{0,198}?)--[ \t]*+$", re.M)
_FIELD = re.compile(rb"content-[a-z-]{1,40}[ \t]*+:", re.I)
_UNSTATED = re.compile(
    rb"\s*+(?:[^\r\n]{0,200}\b(?:MIME|boundary=)[^\r\n]{0,200}\s++|(?!)){0,3}+"
    rb"--([^\r\n]{1,200})(?:\r\n|\r|\n)(?=content-[a-z-]{1,40}[ \t]*+:)",
    re.I,
)
_FIELDS = re.compile(rb"\s{0,20}+(?=(?:mime-version|content-(?:type|transfer-encoding))[ \t]*+:)", re.I)
_REST_OF_FIELDS = re.compile(
    rb"\s{0,20}+(?=content-(?:disposition[ \t]*+:[ \t]*+(?:attachment|inline)"
    rb"|transfer-encoding[ \t]*+:[ \t]*+(?:base64|quoted-printable))\b)",
    re.I,
)
_ODD_OCTETS = re.compile("[\udc80-\udcff]")
_OF_MIME = re.compile(rb"mime|multi-?part|mail (?:reader|client|program)|this (?:mail|message) (?:is|was) ", re.I)
_HTML = re.compile(rb"\s*+(?:<!--.{0,500}?-->\s*+)?<(?:!doctype\s+html|html|head|body|div|table|p)\b", re.I | re.S)


def boundary_in(raw: bytes, start: int, end: int) -> str:
    """The boundary found in this content, or "".

    It is a "--" line above a Content-* field, else a closing "--...--" line whose opening line is above it.
    """
    content = raw[start : min(end, start + _LOOKED_AT)].replace(b"\r\n", b"\n")
    found = _BEGIN.search(content)
    if found:
        return _letters_of(found[1].rstrip())
    for count, close in enumerate(_CLOSE.finditer(content)):
        if count >= _MOST_CLOSES:
            break
        if b"\n--" + close[1] + b"\n" in b"\n" + content[: close.start()]:
            return _letters_of(close[1])
    return ""


def octets_of(boundary: str) -> bytes:
    """The boundary's bytes. Characters outside of ASCII are forbidden in it; where they occur their charset is
    unknown, so they pass through unchanged."""
    return boundary.encode("utf-8", "surrogateescape" if _ODD_OCTETS.search(boundary) else "replace")


def _letters_of(boundary: bytes) -> str:
    return boundary.decode("utf-8", "surrogateescape")


def unstated_boundary(raw: bytes, start: int, end: int) -> str:
    """The boundary of parts that fill the content of a message that states no multipart, or "".

    The content must begin with the boundary and contain its closing line; otherwise it may be a text that quotes parts.
    """
    found = _UNSTATED.match(raw, start, end)
    if found is None:
        return ""
    boundary = found[1].rstrip()
    is_closed = raw.find(b"\n--" + boundary + b"--", found.end(), end) >= 0
    return _letters_of(boundary) if is_closed else ""


def fields_in_content(raw: bytes, start: int, end: int, *, has_fields: bool = False) -> int | None:
    """The position of MIME fields that an empty line separates from their header; None without any.

    has_fields: the header above it has some. A file may begin with the others: an attached message has all of them.
    """
    found = (_REST_OF_FIELDS if has_fields else _FIELDS).match(raw, start, end)
    return found.end() if found else None


def begins_part(raw: bytes, position: int, end: int) -> bool:
    """Whether a Content-* field, thus the header of a part, begins at this position."""
    return _FIELD.match(raw, position, end) is not None


def begins_encoded(raw: bytes, start: int, end: int, boundary: str) -> bool:
    """Whether the first part's header is quoted-printable, so the multipart is encoded as a whole.

    The boundary line cannot show it: a boundary of letters alone is the same when encoded.
    """
    at = raw.find(b"--" + octets_of(boundary), start, end)
    header = raw[at : min(end, at + _HEADER_LOOKED_AT)].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    return at >= 0 and b"=3D" in header.partition(b"\n")[2]


def type_of_text(raw: bytes, start: int, end: int) -> str:
    """The media type of text that states none: text/html when it begins with a tag of HTML, else text/plain."""
    return "text/html" if _HTML.match(raw, start, end) else "text/plain"


def is_about_mime(preamble: bytes) -> bool:
    """Whether what stands above the parts tells readers without MIME what they see, in any language."""
    return _OF_MIME.search(preamble) is not None
