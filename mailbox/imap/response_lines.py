"""The first line of a response, put as RFC 3501, 9 has it: what servers write otherwise and mean the same. Pure.

imaplib takes one blank between words, upper-case letters and a text behind OK, and ends the connection otherwise; the
grammar's own words are case-insensitive. What stands behind the first words is left as it is.
"""

from __future__ import annotations

import re

_NUMBERED = re.compile(rb"[ \t]*\*[ \t]*(\d+)[ \t]+([A-Za-z-]+)")  # * 23 EXISTS
_NAMED = re.compile(rb"[ \t]*\*[ \t]*([A-Za-z][A-Za-z0-9-]*)[ \t]*")  # * LIST, * OK
_TAGGED = re.compile(rb"[ \t]*(PRX\d+)[ \t]+(OK|NO|BAD)\b:?[ \t]*", re.I)
# A literal announced as one of a client (RFC 7888) or as binary (RFC 9051), or with blanks behind it.
_LITERAL = re.compile(rb"~?\{(\d+)\+?\}[ \t]*(?=\r\n\Z)")
_CODE = re.compile(rb"\[[ \t]*+([A-Za-z-]++)(?![^ \t\]\r\n])[ \t]*+")
_ONE_WORD = re.compile(rb"(\d++)[ \t]*+(?:\]|(?=\r\n\Z))|[ \t]*+(?:\]|(?=\r\n\Z))")  # a number or nothing, of a code
_ALERT = re.compile(rb"(?:\*|\S+)[ \t]+(?:OK|NO|BAD|BYE|PREAUTH)[ \t]+\[ALERT\][ \t]*([^\r\n]*)", re.I)
_FETCH = re.compile(rb"\* \d+ FETCH\b")
STATES = (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH")
MOST_SHOWN = 500  # characters of an alert


def as_meant(line: bytes) -> bytes:
    """One blank where the grammar has one, the type in upper case, CRLF at the end."""
    line = ended(line)
    if found := _NUMBERED.match(line):
        return b"* %s %s%s" % (found[1], found[2].upper(), line[found.end() :])
    if found := _NAMED.match(line):
        kind, rest = found[1].upper(), line[found.end() :]
        rest = _upper_code(rest) if kind in STATES else rest
        return b"* %s%s%s" % (kind, b"" if rest == b"\r\n" else b" ", rest)
    if found := _TAGGED.match(line):
        return b"%s %s %s" % (found[1].upper(), found[2].upper(), _upper_code(line[found.end() :]))
    return line


def with_plain_literal(line: bytes) -> bytes:
    """A line of a FETCH answer, with the literal at its end announced as imaplib knows it."""
    return _LITERAL.sub(rb"{\1}", line) if line.endswith((b"}\r\n", b" \r\n", b"\t\r\n")) else line


def ended(line: bytes) -> bytes:
    return line[:-1] + b"\r\n" if line.endswith(b"\n") and not line.endswith(b"\r\n") else line


def is_fetch(line: bytes) -> bool:
    return bool(_FETCH.match(line))


def alert_in(line: bytes) -> str:
    """What the server wants shown to the user (RFC 3501, 7.1: ALERT); "" when it is nothing."""
    if b"[" not in line[:40]:
        return ""
    found = _ALERT.match(line)
    words = found[1].decode("utf-8", "replace").replace("\0", "\ufffd").strip() if found else ""
    return words[:MOST_SHOWN]


def _upper_code(rest: bytes) -> bytes:
    """A response code (RFC 3501, 7.1) without blanks within its brackets, and with the one that ends it."""
    found = _CODE.match(rest)
    if found is None:
        return rest
    name, rest = found[1].upper(), rest[found.end() :]
    if word := _ONE_WORD.match(rest):
        return b"[%s%s]%s" % (name, b" " + word[1] if word[1] else b"", rest[word.end() :])
    return b"[%s %s" % (name, rest)
