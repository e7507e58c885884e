"""Finds the header block of a raw message, and removes lines that are not header fields. Pure."""

from __future__ import annotations

import re

from mailbox.mime.charsets.self_declared import wide_codec

# The lines that the standard library's parser accepts in a header; the first other line ends the header for it.
# (It reads "From  : x" as an mbox separator.) Possessive, with alternatives that do not overlap: linear for any bytes.
_SOUND = re.compile(rb"(?:(?:From (?![ \t]*:)|[\x21-\x39\x3b-\x7e]*+:|[ \t])[^\r\n]*+(?:\r\n|\r|\n|\Z)|(?!))*+")
_LINE = re.compile(rb"[^\r\n]*+(?:\r\n|\r|\n|\Z)")
_FIELD = re.compile(rb"([\x21-\x39\x3b-\x7e]++)[ \t]*+:")  # RFC 5322 section 4.5: old mail has spaces before the colon
_NAMES = re.compile(rb"^([\x21-\x39\x3b-\x7e]++)[ \t]*+:", re.M)
# A line that is no field is skipped only if one of these fields follows that is not above it. Otherwise the body begins
# there.
_TELLING = frozenset(
    b"from to cc subject date message-id mime-version content-type content-transfer-encoding received delivered-to "
    b"return-path reply-to in-reply-to references".split()
)
# A byte order mark as it is, encoded as UTF-8 twice, of UTF-16, or quoted-printable; spaces and marks without width.
_LEAD = re.compile(
    rb"(?:\xef\xbb\xbf|\xc3\xaf\xc2\xbb\xc2\xbf|\xff\xfe|\xfe\xff|=EF=BB=BF"
    rb"|\xc2\xa0|\xe2\x80[\x8b-\x8f]|\xe2\x81\xa0|[\0-\x20]|(?!))*+"
)
_ABOVE = frozenset(bytes((code,)) for code in (*range(33), *b"\xef\xc3\xff\xfe\xc2\xe2="))
_ENVELOPE = re.compile(rb">?From [^\r\n]{0,998}(?:\r\n|\r|\n)")  # an mbox separator
# A header each of whose lines has an empty one behind it, also the empty line at its end.
_DOUBLED_LINES = re.compile(
    rb"[\x21-\x39\x3b-\x7e]++:[^\r\n]*+(\r\n|\r|\n)\1"
    rb"(?:(?:[\x21-\x39\x3b-\x7e]++:|[ \t])[^\r\n]*+\1\1|(?!)){2,5000}+\1\1"
)
_DOUBLED_END = re.compile(rb"(?<!\r)\r\r++\n")
_TURNED_END = re.compile(rb"\n\r(?=[\t !-~])")  # LF CR, and the next line begins
_FIRST_LINE = 2_000  # bytes in which the first line must end
_MAX_REPAIRED = 1_000_000  # longest header in bytes, from the first line that is no field, that is repaired


def readable(raw: bytes) -> tuple[bytes, bool]:
    """The message without those lines of its header that are no fields, and whether there were any.

    For the standard library the body begins at such a line, and From and Subject below it are lost; mail clients skip
    it. The body's bytes are not changed, nor is a message that merely lacks the blank line above its body.
    """
    sound = _SOUND.match(raw)
    start = sound.end() if sound else 0
    if raw[start : start + 1] in (b"", b"\r", b"\n"):
        return raw, False
    kept: list[bytes] = []
    junk = position = 0
    while (line := _LINE.match(raw, start + position)) and line[0].strip(b"\r\n"):
        position += len(line[0])
        if position > _MAX_REPAIRED:
            return raw, False
        field = _FIELD.match(line[0])
        if field:
            kept.append(field[1] + line[0][field.end() - 1 :])
        elif line[0][:1] in b" \t":
            kept.append(line[0])
        else:
            junk += 1
    below = b"".join(kept)
    # "X-Name : value" is a field of obsolete syntax (RFC 5322 section 4.5.8), whatever its name.
    is_obsolete = start > 0 and not junk and b"-" in kept[0].partition(b":")[0]
    if junk > max(1, len(kept)) or not (is_obsolete or _tells_more(raw[:start], below)):
        return raw, False
    return raw[:start] + below + raw[start + position :], True


def _tells_more(above: bytes, below: bytes) -> bool:
    seen = {name.lower() for name in _NAMES.findall(above)} - {b"received"}  # each host on the way adds one
    found = {name.lower() for name in _NAMES.findall(below)}
    return bool(found & _TELLING - seen)


def end_of(raw: bytes, start: int, end: int) -> int:
    """The end of the header of which more lines follow at `start`: at the first line that is no field, or `end`."""
    sound = _SOUND.match(raw, start, end)
    return sound.end() if sound else start


def _doubles_ends_of_fields(raw: bytes) -> bool:
    """Whether some fields in the header end in CR CR LF: those that a script wrote with CR LF, and for which the mail
    system then took each LF for a line end, as with PHP's mail(). Then fields follow to the next empty line."""
    sound = _SOUND.match(raw, 0, min(len(raw), _MAX_REPAIRED))
    start = sound.end() if sound else 0
    if start < 2 or raw[start - 1 : start + 2] != b"\r\r\n":
        return False
    below = _DOUBLED_END.sub(b"\r\n", raw[start - 1 : start + _MAX_REPAIRED])
    rest = _SOUND.match(below, 2)
    if rest is None or below[rest.end() : rest.end() + 1] not in (b"", b"\r", b"\n"):
        return False
    return any(b"-" in name or name.lower() in _TELLING for name in _NAMES.findall(below, 2, rest.end()))


def _start_below_junk(raw: bytes) -> int:
    """The position of the first field below a byte order mark, spaces and the like; 0 where none are above it."""
    envelope = _ENVELOPE.match(raw) if raw[:1] in (b"F", b">") else None
    above = envelope.end() if envelope else 0
    lead = _LEAD.match(raw, above) if raw[above : above + 1] in _ABOVE else None
    if lead is None or lead.end() == above:
        return 0
    field = _FIELD.match(raw, lead.end())
    if field is None:
        return 0
    is_header = field[1].lower() in _TELLING
    if not is_header and b"-" in field[1]:
        sound = _SOUND.match(raw, lead.end(), min(len(raw), _MAX_REPAIRED))
        is_header = bool(sound and _telling_names(sound[0]))
    return lead.end() if is_header else 0


def _telling_names(header: bytes) -> set[bytes]:
    return {name.lower() for name in _NAMES.findall(header.replace(b"\r", b"\n"))} & _TELLING


def begun_at_header(raw: bytes) -> tuple[bytes, list[str]]:
    """The message from its first field on, with valid line ends, and the names of the defects repaired.

    Gateways and scripts write a byte order mark, empty lines, spaces or control characters above the header, lines that
    end in CR CR LF or LF CR, and whole messages in UTF-16.
    """
    defects: list[str] = []
    wide = wide_codec(bytes(raw[:_FIRST_LINE]))
    if wide not in ("", "utf-8"):
        narrow = bytes(raw[:]).decode(wide, "replace").removeprefix("\ufeff").encode("utf-8", "replace")
        if _FIELD.match(narrow):
            raw = narrow
            defects.append("WideMessageDefect")
    start = _start_below_junk(raw)
    if start:
        raw = raw[start:]
        defects.append("JunkBeforeHeaderDefect")
    doubled = _DOUBLED_LINES.match(raw, 0, min(len(raw), _MAX_REPAIRED))
    if doubled and len(_telling_names(doubled[0])) > 1:
        raw = bytes(raw[:]).replace(2 * doubled[1], doubled[1])
        defects.append("LineEndDefect")
    end = raw.find(b"\n", 0, _FIRST_LINE)
    if (end > 1 and raw[end - 2 : end] == b"\r\r") or _doubles_ends_of_fields(raw):
        raw = _DOUBLED_END.sub(b"\r\n", bytes(raw[:]))
        defects.append("LineEndDefect")
    elif end > 0 and raw[end - 1 : end] != b"\r" and _TURNED_END.match(raw, end):
        raw = bytes(raw[:]).replace(b"\n\r", b"\r\n")
        defects.append("LineEndDefect")
    return raw, defects
