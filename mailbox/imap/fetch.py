"""Parses FETCH responses as imaplib returns them, and splits requests into commands. Pure.

Also defines the dataclasses that this package returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from imapclient import imap_utf7

from mailbox.imap import internal_date

# Looser than RFC 3501, which has exactly one space between an item and its value, and no quotes around numbers.
_UID = re.compile(rb"(?:^|[\s()])UID:?[ \t]++\"?(\d+)", re.I)
_FLAGS = re.compile(rb"(?:^|[\s()])FLAGS[ \t]*+\(([^()]*+)\)", re.I)
_SIZE = re.compile(rb"(?:^|[\s()\"])RFC822\.SIZE[ \t]++\"?(\d+)", re.I)
_DATE = re.compile(rb"INTERNALDATE[ \t]++(?:\"([^\"]*)\"|([^\s\"()]{1,12}+ [\d:]{5,8}+(?: [+-]\d{4}|(?!))?+))", re.I)
_LABELS = re.compile(rb"X-GM-LABELS[ \t]++\(", re.I)
_LABEL_LIST = re.compile(rb'((?:"(?:[^"\\]|\\.|(?!))*+"|[^()"]|(?!))*+)\)', re.S)
_LABEL = re.compile(rb'"((?:[^"\\]|\\.|(?!))*+)(?:"|\\?\Z)|([^\s"]+)', re.S)
_LITERAL = re.compile(rb"\{\d+\}$")
MAX_LABEL = 1000  # bytes
MAX_UID = 2**32 - 1  # RFC 3501, 9: nz-number
MAX_NUMBER = 2**63 - 1  # largest value of a BIGINT column, and the highest mod-sequence (RFC 7162, 7)
OTHER_LENGTH = "OtherLength"  # the defect of a message that is not as long as RFC822.SIZE states
_BODY = re.compile(rb"(?:(?:BODY(?:\.PEEK)?|BINARY)\[\](?:<0>)?|RFC822)[ \t]*+\{\d+\}$", re.I)
_HEADER = re.compile(rb"(?:BODY(?:\.PEEK)?\[HEADER\](?:<0>)?|RFC822\.HEADER)[ \t]*+\{\d+\}$", re.I)
# RFC 6154, with RFC 8457's \Important; imapclient's own list lacks some of them.
SPECIAL_USES = ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash")
# How servers called them before RFC 6154, as in Gmail's XLIST.
_OLD_USES = {"\\allmail": "\\all", "\\spam": "\\junk", "\\starred": "\\flagged"}
UNSELECTABLE = ("\\noselect", "\\nonexistent")


@dataclass(frozen=True)
class ListedFolder:
    """One folder of a LIST response (RFC 3501, 7.2.2). `delimiter`: "" where the server states NIL."""

    name: str  # decoded from modified UTF-7
    delimiter: str
    special_use: str  # "\\Sent", or "" for none
    selectable: bool
    is_subscribed: bool | None = None  # None: the server does not say
    is_name_encoded: bool = True  # False: the server's name is not valid modified UTF-7 (RFC 3501, 5.1.3)


@dataclass(frozen=True)
class FolderStatus:
    """What the answer to EXAMINE states of a folder (RFC 3501, 6.3.1; RFC 7162). None: it states none."""

    uidvalidity: int
    uidnext: int | None
    exists: int  # messages
    highestmodseq: int | None
    mailbox_id: str = ""  # RFC 8474, where the server states one
    changes: Changes | None = None  # since the stored state; None unless QRESYNC reported them


@dataclass(frozen=True)
class FlagsAndLabels:
    """The parts of a message that can change: its flags, and Gmail's labels (None from any other server)."""

    flags: tuple[str, ...]
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Changes:
    """Changes reported by QRESYNC (RFC 7162, 3.2.5.1): flags by UID, and ranges of expunged UIDs."""

    flags: dict[int, FlagsAndLabels]
    vanished: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class MessageMeta:
    """What FETCH states of a message without its text. `labels`: Gmail's, None from any other server."""

    uid: int
    flags: tuple[str, ...]
    internal_date: datetime | None  # UTC; None if the server states none, or an invalid one
    size: int  # RFC822.SIZE, bytes; 0 when it is not stated
    labels: tuple[str, ...] | None = None

    @property
    def flags_and_labels(self) -> FlagsAndLabels:
        """The part of it that can change on the server."""
        return FlagsAndLabels(self.flags, self.labels)


@dataclass(frozen=True)
class FetchedMessage:
    """A fetched message; `raw` is its bytes as the server has them (RFC 5322), or those of its header alone."""

    meta: MessageMeta
    raw: bytes
    is_complete: bool  # False: only the header was fetched
    defects: tuple[str, ...] = ()  # found while it was fetched; stored in Message.parse_defects
    path: str = ""  # of the file that `raw` is memory-mapped from, if any


class Sized(Protocol):
    """Anything with a size in bytes, for `by_bytes`."""

    @property
    def size(self) -> int: ...


S = TypeVar("S", bound=Sized)


def by_bytes(items: Sequence[S], limit: int, count: int = 200) -> Iterator[list[S]]:
    """Split into lists of at most `limit` bytes and `count` items; an item above the limit is alone in its list."""
    run: list[S] = []
    total = 0
    for item in items:
        if run and (total + item.size > limit or len(run) >= count):
            yield run
            run, total = [], 0
        run.append(item)
        total += item.size
    if run:
        yield run


def pair_bodies(answer: Sequence[object]) -> dict[int, bytes]:
    """UID -> body, from imaplib's list for FETCH: tuples (text before the literal, literal), and the text after them.

    Servers state the UID before or after the body, and send unsolicited FETCH responses between bodies, such as flags
    that another client changed.
    """
    bodies: dict[int, bytes] = {}
    before, literal = b"", None
    for item in answer:
        if isinstance(item, tuple):
            before, literal = before + item[0], item[1] if _BODY.search(item[0]) else literal
        elif isinstance(item, bytes):
            found = _UID.search(before) or _UID.search(item)
            if literal is not None and found:
                uid = int(found.group(1))
                bodies[uid] = literal or bodies.get(uid, b"")
            before, literal = b"", None
    return bodies


def pair_headers(answer: Sequence[object]) -> dict[int, tuple[FlagsAndLabels, bytes]]:
    """UID -> flags and labels, and the header, from the responses to (UID FLAGS BODY.PEEK[HEADER]<0.n>)."""
    found: dict[int, tuple[FlagsAndLabels, bytes]] = {}
    before, header = b"", None
    for item in answer:
        if isinstance(item, tuple) and _HEADER.search(item[0]):
            before, header = before + item[0], item[1]
        elif isinstance(item, tuple):
            before += item[0]
        elif isinstance(item, bytes):
            for uid, row in rows([before + b" " + item]).items():
                if header is not None and (flags := flags_and_labels_of(row)) is not None:
                    found[uid] = (flags, header)
            before, header = b"", None
    return found


def uid_set(uids: Sequence[int]) -> str:
    """Write UIDs as a sequence set (RFC 3501, 9): consecutive ones as a range. The server skips UIDs that are gone."""
    parts: list[str] = []
    start = previous = None
    for uid in sorted(uids):
        if previous is not None and uid == previous + 1:
            previous = uid
            continue
        if start is not None:
            parts.append(str(start) if start == previous else f"{start}:{previous}")
        start = previous = uid
    if start is not None:
        parts.append(str(start) if start == previous else f"{start}:{previous}")
    return ",".join(parts)


def text(value: str | bytes | list[bytes] | None) -> str:
    """Decode a server's text so that every database stores it: without NUL and surrogates."""
    if isinstance(value, list):
        value = b" ".join(part for part in value if part)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return (value or "").replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def listed(words_given: Sequence[bytes], delimiter: bytes | None, name: str | bytes) -> ListedFolder:
    """One LIST response as a ListedFolder. words_given: its attributes. name: decoded, as far as it can be."""
    words = {_OLD_USES.get(word, word) for word in (text(flag).lower() for flag in words_given)}
    shown = text(name)
    return ListedFolder(
        name="INBOX" if shown.upper() == "INBOX" else shown,  # RFC 3501, 5.1: INBOX is case-insensitive
        delimiter=text(delimiter or b""),
        special_use=next((use for use in SPECIAL_USES if use.lower() in words), ""),
        selectable=not words.intersection(UNSELECTABLE),
    )


@dataclass
class FetchRow:
    """One message's data in FETCH responses (RFC 3501, 7.4.2); None and 0 for items that they lack."""

    flags: tuple[str, ...] | None = None
    internal_date: datetime | None = None
    size: int = 0  # RFC822.SIZE, bytes
    labels: tuple[str, ...] | None = None


def rows(answer: Sequence[object]) -> dict[int, FetchRow]:
    """UID -> its data, merged from all FETCH responses for it. The items may come in any order.

    A response without UID is skipped: it reports another client's change by sequence number (RFC 3501, 7.4.2).
    """
    found: dict[int, FetchRow] = {}
    for line in _lines(answer):
        line, labels = _without_labels(line)
        flags = _FLAGS.search(line)
        if flags:  # a flag may be named "UID", and the next one "9"
            line = line[: flags.start()] + b" " + line[flags.end() :]
        if not (uid := _UID.search(line)) or int(uid[1]) > MAX_UID:
            continue
        row = found.setdefault(int(uid[1]), FetchRow())
        if flags:
            row.flags = tuple(_flag(flag) for flag in flags[1].split())
        if date := _DATE.search(line):
            row.internal_date = internal_date.parse(date[1] or date[2] or b"")
        if size := _SIZE.search(line):
            row.size = int(size[1]) if int(size[1]) <= MAX_NUMBER else 0
        if labels is not None:
            row.labels = _decoded_labels(labels)
    return found


def _without_labels(line: bytes) -> tuple[bytes, bytes | None]:
    """Separate a response from its list of labels, as a label may be named "UID 9"."""
    name = _LABELS.search(line)
    listed = _LABEL_LIST.match(line, name.end()) if name else None
    return (line[: name.start()] + line[listed.end() :], listed[1]) if name and listed else (line, None)


def _lines(answer: Sequence[object]) -> Iterator[bytes]:
    """Join each response into one line. A literal can only be a label here; it is rewritten as a quoted string."""
    before = b""
    for item in answer:
        if isinstance(item, tuple):
            quoted = item[1][:MAX_LABEL].replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            before += _LITERAL.sub(b"", item[0]) + b'"' + quoted + b'"'
        elif isinstance(item, bytes):
            yield before + item
            before = b""
    if before:
        yield before


def _decoded_labels(listed: bytes) -> tuple[str, ...]:
    """Decode Gmail's labels: atoms or strings in modified UTF-7; system labels begin with a backslash, as \\Inbox."""
    labels = set()
    for quoted, atom in _LABEL.findall(listed):
        raw = re.sub(rb"\\(.)", rb"\1", quoted) if quoted else atom
        try:
            labels.add(text(imap_utf7.decode(raw)))
        except (ValueError, UnicodeError):
            labels.add(text(raw))
    return tuple(sorted(labels - {""}))


def _flag(flag: bytes) -> str:
    """Decode a flag. It is an atom, but some servers quote it, and some of these double its backslash."""
    bare = text(flag)
    if len(bare) > 2 and bare[0] == bare[-1] == '"':
        bare = bare[1:-1]
    return bare.replace("\\\\", "\\")


def meta(uid: int, row: FetchRow) -> MessageMeta:
    """The row as a MessageMeta; flags that the server left out become an empty tuple."""
    return MessageMeta(uid, row.flags or (), row.internal_date, row.size, row.labels)


def flags_and_labels_of(row: FetchRow) -> FlagsAndLabels | None:
    """The row's flags and labels; None when the server left the flags out."""
    return None if row.flags is None else FlagsAndLabels(row.flags, row.labels)
