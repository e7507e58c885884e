"""The header of a message as text: lines, addresses, the date. Pure, and the only user of mail-parser.

mail-parser reads addresses and dates, what it reads best, and is given only those fields, their 8-bit text repaired and
their charsets made UTF-8. Its MailParser object walks all parts and reads every Received header, which costs more than
all the rest of a parse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from mailparser.dates import parse_mail_date
from mailparser.utils import get_addresses

from mailbox.mime import charsets
from mailbox.mime.tree import MAX_HEADER, Part

MAX_LINE_CHARACTERS = 2000  # of a subject, a sender, a list's id: every list shows them; the raw message has the rest
# mail-parser's address reader is quadratic; what is longer than this is kept as text.
_MAX_ADDRESS_HEADER = 32_768
_MAX_REMEMBERED = 300  # characters: the same few senders and recipients come again and again
_ADDRESS = re.compile(r"[^\s<>@,;:\"()\[\]\\]{1,256}@[^\s<>@,;:\"()\\]{1,256}")

# `Ann Example <ann@example.com>` and `ann@example.com` of letters, digits and dots between them, as most mail has it:
# mail-parser, which reads all else, reads no more in these, at thirty times the time (a test compares them).
_ATOM = r"[A-Za-z0-9_-]+"
_PLAIN_ADDRESS = re.compile(
    rf"(?:({_ATOM}(?: {_ATOM})*+) <(?=[^>]*>\Z))?+({_ATOM}(?:\.{_ATOM})*+@{_ATOM}(?:\.{_ATOM})++)(?(1)>)", re.ASCII
)

Pairs = tuple[tuple[str, str], ...]


class Fields:
    """The fields of a header by name, lower case. Reading them notes what is wrong in `defects`."""

    def __init__(self, root: Part, defects: list[str]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in root.fields:
            self._values.setdefault(name.lower(), []).append(value)
        self._defects = defects

    def values(self, name: str) -> Sequence[str]:
        """All fields of a name, 8-bit text repaired, folds and encoded words as they are."""
        return [charsets.header_text(value[:MAX_HEADER]) for value in self._values.get(name, ())]

    def line(self, name: str) -> str:
        """The first field of this name as one line of text, "" when there is none."""
        found = self._values.get(name)
        if not found:
            return ""
        return charsets.unfold(charsets.decode_words(charsets.header_text(found[0][:MAX_HEADER])))

    def undecoded_line(self, name: str) -> str:
        """The same with encoded words left as they are."""
        found = self._values.get(name)
        return charsets.unfold(charsets.header_text(found[0][:MAX_HEADER])) if found else ""

    def addresses(self, name: str) -> Pairs:
        """(display name, address) of each mailbox in all fields of this name."""
        values = self.values(name)
        is_long = sum(map(len, values)) > 4 * _MAX_ADDRESS_HEADER  # encoded words may become a quarter of it
        lines = [] if is_long else [charsets.unfold(charsets.normal_words(value)) for value in values]
        joined = ", ".join(line for line in lines if line)
        if is_long or len(joined) > _MAX_ADDRESS_HEADER:
            self._defects.append("AddressHeaderTooLong")
            return ()
        pairs, is_sound = _remembered(joined) if len(joined) <= _MAX_REMEMBERED else _read_addresses(joined)
        if not is_sound:
            self._defects.append("AddressHeaderDefect")
        return pairs

    def shown(self, name: str) -> str:
        """All addresses of a field, comma-separated; its text as written when no address could be read in it."""
        pairs = self.addresses(name) if name in self._values else ()
        if pairs:
            return ", ".join(_shown(name, address) for name, address in pairs)
        return charsets.unfold(charsets.decode_words(", ".join(self.values(name))[:MAX_HEADER]))

    def sender(self) -> tuple[str, str]:
        """The first From address, as shown and as a bare address, lower case."""
        for name, address in self.addresses("from"):
            return _shown(name, address)[:MAX_LINE_CHARACTERS], _bare(address)
        shown = self.line("from")
        found = _ADDRESS.search(shown[:_MAX_ADDRESS_HEADER])
        return shown[:MAX_LINE_CHARACTERS], _bare(found[0]) if found else ""

    def date(self) -> datetime | None:
        stated = self.undecoded_line("date")[:200]
        if not stated:
            return None
        date = parse_mail_date(stated).value or _lenient_date(stated)
        if date is None:
            self._defects.append("DateHeaderDefect")
        return date


def _read_addresses(line: str) -> tuple[Pairs, bool]:
    """The mailboxes of one line, and whether mail-parser found nothing wrong with it."""
    if not line:
        return (), True
    if plain := _PLAIN_ADDRESS.fullmatch(line):
        return ((plain[1] or "", plain[2]),), True
    defects: list[object] = []
    found = get_addresses(line, defects=defects, decode_names=True)
    return tuple(("" if name == address else name, address) for name, address in found if address), not defects


_remembered = lru_cache(maxsize=4096)(_read_addresses)


def _lenient_date(stated: str) -> datetime | None:
    """Dates that mail-parser refuses: without a zone (taken as UTC), or as ISO 8601."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = read(stated)
            date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
        if date.year >= 1900:  # below, a database's range or an epoch's end is hit, and no mail was sent
            return date
    return None


def _bare(address: str) -> str:
    return charsets.storable(address).lower()[:MAX_LINE_CHARACTERS]


def _shown(name: str, address: str) -> str:
    """`Ann <ann@example.com>`; the name quoted where it would otherwise read as something else."""
    name = charsets.unfold(charsets.decode_words(name))
    if not name:
        return charsets.storable(address)
    if re.search(r'[()<>@,:;".\[\]\\]', name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return charsets.storable(f"{name} <{address}>")
