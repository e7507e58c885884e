"""The boundary of a damaged multipart, or what it is instead. Pure, and linear in time for any bytes."""

from __future__ import annotations

import re

MAX_BOUNDARY = 200  # characters; RFC 2046 section 5.1.1 allows 70
_LOOKED_AT = 1_000_000  # bytes in which the first boundary must stand
_HEADER_LOOKED_AT = 2_000
_MOST_CLOSES = 20  # lines that may close a multipart, each looked for from the beginning

_BEGIN = re.compile(rb"^--([^\r\n]{1,200})(?:\r\n|\r|\n)(?=content-[a-z-]{1,40}[ \t]*+:)", re.I | re.M)
_CLOSE = re.compile(rb"^--([^\s-][^\r\n]{0,198}?)--[ \t]*+$", re.M)
_FIELD = re.compile(rb"content-[a-z-]{1,40}[ \t]*+:", re.I)
_UNSTATED = re.compile(
    rb"\s*+(?:[^\r\n]{0,200}\b(?:MIME|boundary=)[^\r\n]{0,200}\s++){0,3}+"
    rb"--([^\r\n]{1,200})(?:\r\n|\r|\n)(?=content-[a-z-]{1,40}[ \t]*+:)",
    re.I,
)
_FIELDS = re.compile(rb"\s{0,20}+(?=(?:mime-version|content-(?:type|transfer-encoding))[ \t]*+:)", re.I)
_ODD_OCTETS = re.compile("[\udc80-\udcff]")
_HTML = re.compile(rb"\s*+(?:<!--.{0,500}?-->\s*+)?<(?:!doctype\s+html|html|head|body|div|table|p)\b", re.I | re.S)


def boundary_in(raw: bytes, start: int, end: int) -> str:
    """The boundary that the lines of this content have, "" when it has none.

    A boundary begins a part that names its type, or a line of it closes the multipart.
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
    """A boundary as its lines have it; letters outside of ASCII are forbidden, and any charset's when they come."""
    return boundary.encode("utf-8", "surrogateescape" if _ODD_OCTETS.search(boundary) else "replace")


def _letters_of(boundary: bytes) -> str:
    return boundary.decode("utf-8", "surrogateescape")


def unstated_boundary(raw: bytes, start: int, end: int) -> str:
    """The boundary of parts that are the whole content of what says to have none; "" of a text that may quote some."""
    found = _UNSTATED.match(raw, start, end)
    if found is None:
        return ""
    boundary = found[1].rstrip()
    is_closed = raw.find(b"\n--" + boundary + b"--", found.end(), end) >= 0
    return _letters_of(boundary) if is_closed else ""


def fields_in_content(raw: bytes, start: int, end: int) -> int | None:
    """Where the MIME fields begin that an empty line has cut from their header."""
    found = _FIELDS.match(raw, start, end)
    return found.end() if found else None


def begins_part(raw: bytes, position: int, end: int) -> bool:
    """Whether the header of a part stands here."""
    return _FIELD.match(raw, position, end) is not None


def begins_encoded(raw: bytes, start: int, end: int, boundary: str) -> bool:
    """Whether the header of the first part is quoted-printable: its boundary, of letters alone, looks the same so."""
    at = raw.find(b"--" + octets_of(boundary), start, end)
    header = raw[at : min(end, at + _HEADER_LOOKED_AT)].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    return at >= 0 and b"=3D" in header.partition(b"\n")[2]


def type_of_text(raw: bytes, start: int, end: int) -> str:
    """The media type of text that names none: HTML when it begins as HTML does."""
    return "text/html" if _HTML.match(raw, start, end) else "text/plain"
