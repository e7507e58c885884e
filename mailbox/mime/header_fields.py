"""The header of a message as text: lines, addresses, the date. Pure.

mail-parser reads the Date (`dates`). Addresses are read by `addresses`: mail-parser's reader is quadratic, recurses
into brackets and drops what has no domain and what a semicolon separates. Its MailParser object walks all parts and
reads every Received header, which costs more than all the rest of a parse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from mailbox.mime import addresses, charsets, dates
from mailbox.mime.addresses import Mailbox
from mailbox.mime.tree import MAX_HEADER, Part

MAX_LINE_CHARACTERS = 2000  # of a subject, a sender, a list's id: every list shows them; the raw message has the rest
_MAX_ADDRESSES = 20_000  # of one field
_MOST = re.compile(rf"(?:[^,;]*+[,;]){{{_MAX_ADDRESSES}}}")
_MAX_REMEMBERED = 300  # characters: the same few senders and recipients come again and again


class Fields:
    """The fields of a header by name, lower case. Reading them notes what is wrong in `defects`."""

    def __init__(self, root: Part, defects: list[str], charset: str = "") -> None:
        """`charset`: of the body, in which 8-bit text is read that is no UTF-8."""
        self._charset = charset
        self._values: dict[str, list[str]] = {}
        for name, value in root.fields:
            self._values.setdefault(name.lower(), []).append(value)
        self._defects = defects

    def values(self, name: str) -> Sequence[str]:
        """All fields of a name, 8-bit text repaired, folds and encoded words as they are."""
        return [self._text(value) for value in self._values.get(name, ())]

    def _text(self, value: str) -> str:
        value = value[:MAX_HEADER]
        if not charsets.is_utf8(value):
            self._defects.append("EightBitHeaderDefect")
        return charsets.header_text(value, self._charset)

    def line(self, name: str) -> str:
        """The first field of this name that says anything as one line of text, "" when there is none."""
        return charsets.unfold(charsets.decode_words(self._first(name)))

    def undecoded_line(self, name: str) -> str:
        """The same with encoded words left as they are."""
        return charsets.unfold(self._first(name))

    def _first(self, name: str) -> str:
        return next((self._text(value) for value in self._values.get(name, ()) if value.strip()), "")

    def addresses(self, name: str) -> tuple[Mailbox, ...]:
        """Each mailbox in all fields of this name."""
        joined = ", ".join(value for value in self.values(name) if value.strip())
        if len(joined) > MAX_HEADER:
            self._defects.append("AddressHeaderTooLong")
            joined = joined[:MAX_HEADER].rpartition(",")[0]
        if joined.count(",") + joined.count(";") > _MAX_ADDRESSES and (most := _MOST.match(joined)):
            self._defects.append("AddressHeaderTooLong")
            joined = most[0]
        found = _remembered(joined) if len(joined) <= _MAX_REMEMBERED else _read_addresses(joined)
        if joined and not found and ":" not in joined:  # an empty group has none
            self._defects.append("AddressHeaderDefect")
        return found

    def shown(self, name: str) -> str:
        """All addresses of a field, comma-separated; its text as written when no address could be read in it."""
        found = self.addresses(name) if name in self._values else ()
        if found:
            return charsets.storable(addresses.shown(found))
        return charsets.unfold(charsets.decode_words(", ".join(self.values(name))[:MAX_HEADER]))

    def sender(self) -> tuple[str, str]:
        """The first From address, as shown and as a bare address, lower case; of a mail without one, that of Sender."""
        name = "from" if self._first("from") else "sender"
        found = self.addresses(name)
        first = next((each for each in found if each.has_domain), next(iter(found), None))
        if first is None:
            return self.line(name)[:MAX_LINE_CHARACTERS], ""
        bare = first.address.lower() if first.has_domain else ""
        return charsets.storable(str(first))[:MAX_LINE_CHARACTERS], bare[:MAX_LINE_CHARACTERS]

    def date(self) -> datetime | None:
        stated = self.undecoded_line("date")[:200]
        if not stated:
            return None
        date = dates.read(stated)
        if date is None:
            self._defects.append("DateHeaderDefect")
        return date


def _read_addresses(line: str) -> tuple[Mailbox, ...]:
    return tuple(addresses.read(line))


_remembered = lru_cache(maxsize=4096)(_read_addresses)
