"""Rewrites the first line of a response into the exact form of RFC 3501, 9, as imaplib requires it. Pure.

imaplib wants one space between words, upper-case letters and a text behind OK, and otherwise aborts the connection.
Servers deviate; the RFC itself makes these words case-insensitive. The rest of the line is not changed.
"""

from __future__ import annotations

import re

_NUMBERED = re.compile(rb"[ \t]*\*[ \t]*(\d+)[ \t]+([A-Za-z-]+)")  # * 23 EXISTS
_NAMED = re.compile(rb"[ \t]*\*[ \t]*([A-Za-z][A-Za-z0-9-]*)[ \t]*")  # * LIST, * OK
_TAGGED = re.compile(rb"[ \t]*(PRX\d+)[ \t]+(OK|NO|BAD)\b:?[ \t]*", re.I)
# A literal written as a client's non-synchronizing one (RFC 7888), as binary (RFC 9051), or with spaces behind it.
_LITERAL = re.compile(rb"~?\{(\d+)\+?\}[ \t]*(?=\r\n\Z)")
_CODE = re.compile(rb"\[[ \t]*+([A-Za-z-]++)(?![^ \t\]\r\n])[ \t]*+")
_ONE_WORD = re.compile(rb"(\d++)[ \t]*+(?:\]|(?=\r\n\Z))|[ \t]*+(?:\]|(?=\r\n\Z))")  # a code's argument, a number or ""
_ALERT = re.compile(rb"(?:\*|\S+)[ \t]+(?:OK|NO|BAD|BYE|PREAUTH)[ \t]+\[ALERT\][ \t]*([^\r\n]*)", re.I)
_FETCH = re.compile(rb"\* \d+ FETCH\b")
_OF_FOLDERS = re.compile(rb"\* (?:LIST|LSUB|STATUS)\b")
STATES = (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH")
MOST_SHOWN = 500  # characters of an alert


def as_meant(line: bytes) -> bytes:
    """The line with single spaces between its first words, its type in upper case, and CRLF at the end."""
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


def names_folder(line: bytes) -> bool:
    """Whether a line, as `as_meant` returns it, has a folder's name, which may be a literal."""
    return bool(_OF_FOLDERS.match(line))


def with_plain_literal(line: bytes) -> bytes:
    """The line with the literal at its end written as {n}, the only form that imaplib knows."""
    return _LITERAL.sub(rb"{\1}", line) if line.endswith((b"}\r\n", b" \r\n", b"\t\r\n")) else line


def ended(line: bytes) -> bytes:
    """The line with CRLF at its end where it has a bare LF; a line without LF is not changed."""
    return line[:-1] + b"\r\n" if line.endswith(b"\n") and not line.endswith(b"\r\n") else line


def is_fetch(line: bytes) -> bool:
    """Whether a line, as `as_meant` returns it, begins a FETCH response (RFC 3501, 7.4.2)."""
    return bool(_FETCH.match(line))


def alert_in(line: bytes) -> str:
    """The text of an [ALERT] in this line, which must be shown to the user (RFC 3501, 7.1); "" without one."""
    if b"[" not in line[:40]:
        return ""
    found = _ALERT.match(line)
    words = found[1].decode("utf-8", "replace").replace("\0", "\ufffd").strip() if found else ""
    return words[:MOST_SHOWN]


def _upper_code(rest: bytes) -> bytes:
    """Normalise a response code (RFC 3501, 7.1): upper case, no spare spaces in the brackets, and a closing bracket
    where it is missing. imaplib takes the line's last bracket for the end of the code: so the text behind a code with
    an argument has none."""
    found = _CODE.match(rest)
    if found is None:
        return rest
    name, rest = found[1].upper(), rest[found.end() :]
    if word := _ONE_WORD.match(rest):
        behind = rest[word.end() :]
        return b"[%s%s]%s" % (name, b" " + word[1] if word[1] else b"", _round(behind) if word[1] else behind)
    argument, end, behind = rest.partition(b"]")
    return b"[%s %s%s%s" % (name, argument, end, _round(behind))


def _round(text: bytes) -> bytes:
    return text.replace(b"[", b"(").replace(b"]", b")") if b"]" in text else text
