"""Reads the header fields of a part (RFC 5322 section 2.2), also between lines that are none. Pure, linear in time.

What the standard library's parser accepts in a header is accepted. Beyond that, a parameter that lacks the space of a
folded line continues its field, and in the header of a part obsolete fields and junk above a field do not end it.
"""

from __future__ import annotations

import re

from mailbox.mime import header_block
from mailbox.mime.boundary_lines import Budget
from mailbox.mime.part import MAX_MIME_HEADER, Part

MAX_FIELDS = 20_000  # of one header
MAX_HEADER = 200_000  # bytes of any field; the raw message has the rest

# A field with its folded lines, and other lines that the standard library accepts in a header. The two do not overlap.
_VALUE = rb":([^\r\n]*+(?:(?:\r\n|\r|\n)[ \t][^\r\n]*+|(?!))*+)(?:\r\n|\r|\n|\Z)"
_FIELD = re.compile(rb"([\x21-\x39\x3b-\x7e]++)" + _VALUE)
_ODD_LINE = re.compile(rb"(From (?![ \t]*:)|[ \t]|:)[^\r\n]*+(?:\r\n|\r|\n|\Z)")
_LINE_END = re.compile(rb"\r\n|\r|\n|\Z")
# A parameter on a line of its own, without the space that would make it a folded one, as some programs write it.
_LOST_FOLD = re.compile(
    rb"((?:boundary|charset|filename|name|format|type)(?:\*\d?\*?)?[ \t]*+=[^\r\n]{1,998}+)(?:\r\n|\r|\n)", re.I
)
_BEFORE_LOST_FOLD = ("content-type", "content-disposition")
_WITHOUT_SEMICOLON = (b"boundary", b"charset=")  # these are no words of a body, as "name=" may be one of a form
# In the header of a part: a field of obsolete syntax (RFC 5322 section 4.5.8), and a line that is none above another.
_OLD_FIELD = re.compile(rb"(content-[a-z-]{1,40}+)[ \t]++" + _VALUE, re.I)
_JUNK_LINE = re.compile(rb"[^\r\n]{1,998}+(?:\r\n|\r|\n)(?=content-[a-z-]{1,40}+[ \t]*+:)", re.I)


def read(raw: bytes, part: Part, start: int, end: int, budget: Budget) -> int:
    """Read the header fields of raw[start:end] into `part`; return the offset at which the content begins."""
    position = start
    last = min(MAX_FIELDS, budget.fields_left)
    for count in range(last + 1):
        field = _FIELD.match(raw, position, end)
        if field is not None:
            position = field.end()
            # Of parts below the root, only Content-* fields are used.
            if part.depth == 0 or field[1][:8].lower() == b"content-":
                _append(raw, part, field)
            continue
        odd = _ODD_LINE.match(raw, position, end)
        behind = odd.end() if odd else _mend_line(raw, part, position, end)
        if behind == position:
            break
        position = behind
        if odd and not (odd[1] == b"From " and count == 0):  # an mbox separator above the header
            part.defects.append(_odd_defect(odd[1]))
    else:
        part.defects.append("TooManyHeaders")
        position = header_block.end_of(raw, position, end)
    budget.fields_left = max(0, budget.fields_left - count)
    line_end = _LINE_END.match(raw, position, end)
    if line_end:
        return line_end.end()
    part.defects.append("MissingHeaderBodySeparatorDefect")
    return position


def _append(raw: bytes, part: Part, field: re.Match[bytes]) -> None:
    first, behind = field.span(2)
    if behind - first > MAX_HEADER:
        part.defects.append("HeaderTooLong")
    value = raw[first : min(behind, first + MAX_HEADER)].decode("ascii", "surrogateescape")
    part.fields.append((field[1].decode("ascii"), value.lstrip(" \t").rstrip("\r\n")))


def _mend_line(raw: bytes, part: Part, position: int, end: int) -> int:
    """Read, or skip, a line within a header that is no field. Returns the position behind it; `position` itself if the
    header ends there."""
    name, value = part.fields[-1] if part.fields else ("", "")
    lost = _LOST_FOLD.match(raw, position, end) if name.lower() in _BEFORE_LOST_FOLD else None
    is_open = value.rstrip().endswith(";")
    if lost and len(value) < MAX_MIME_HEADER and (is_open or lost[1][:8].lower() in _WITHOUT_SEMICOLON):
        separator = "" if is_open else ";"
        part.fields[-1] = (name, f"{value}{separator}\r\n {lost[1].decode('ascii', 'surrogateescape')}")
        part.defects.append("MimeFieldDefect")
        return lost.end()
    if part.depth and (old := _OLD_FIELD.match(raw, position, end)):
        _append(raw, part, old)
        return old.end()
    junk = _JUNK_LINE.match(raw, position, end) if part.depth and name else None
    if junk:
        part.defects.append("JunkInHeaderDefect")
    return junk.end() if junk else position


def _odd_defect(begin: bytes) -> str:
    if begin == b"From ":
        return "MisplacedEnvelopeHeaderDefect"
    return "InvalidHeaderDefect" if begin == b":" else "FirstHeaderLineIsContinuationDefect"
