"""Reads header fields as text, as addresses and as a date. Pure.

mail-parser is used for dates alone (`dates`). Its address parser takes quadratic time, recurses into brackets, and
drops addresses without a domain or separated by semicolons. Its MailParser object reads all parts and every Received
header, which takes longer than the rest of a parse together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from mailbox.mime import addresses, charsets, dates
from mailbox.mime.addresses import Mailbox
from mailbox.mime.tree import MAX_HEADER, Part

MAX_LINE_CHARACTERS = 2000  # of a subject, a sender, a List-ID, as lists of messages load them; the raw message has all
_MAX_ADDRESSES = 20_000  # of one field
_MOST = re.compile(rf"(?:[^,;]*+[,;]){{{_MAX_ADDRESSES}}}")
_MOST_DATES = 3
_MAX_REMEMBERED = 300  # characters of a field that is cached, as the same senders and recipients recur


class Fields:
    """The fields of a header by name, lower case. Its methods append defects that they meet to `defects`."""

    def __init__(self, root: Part, defects: list[str], charset: str = "") -> None:
        """charset: the body's, by which 8-bit text is decoded that is not UTF-8."""
        self._charset = charset
        self._values: dict[str, list[str]] = {}
        for name, value in root.fields:
            self._values.setdefault(name.lower(), []).append(value)
        self._defects = defects

    def values(self, name: str) -> Sequence[str]:
        """The values of all fields of this name, with 8-bit text decoded; folds and encoded words are kept."""
        return [self._text(value) for value in self._values.get(name, ())]

    def _text(self, value: str) -> str:
        value = value[:MAX_HEADER]
        if not charsets.is_utf8(value):
            self._defects.append("EightBitHeaderDefect")
        return charsets.header_text(value, self._charset)

    def line(self, name: str) -> str:
        """The first non-empty field of this name as one line, encoded words decoded; "" when there is none."""
        return charsets.unfold(charsets.decode_words(self._first(name)))

    def undecoded_line(self, name: str) -> str:
        """Like line(), but with encoded words left as they are."""
        return charsets.unfold(self._first(name))

    def _first(self, name: str) -> str:
        return next((self._text(value) for value in self._values.get(name, ()) if value.strip()), "")

    def addresses(self, name: str) -> tuple[Mailbox, ...]:
        """The addresses in all fields of this name."""
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
        """All addresses of a field for display, comma-separated; the field's text when no address can be read in it."""
        found = self.addresses(name) if name in self._values else ()
        if found:
            return charsets.storable(addresses.shown(found))
        return charsets.unfold(charsets.decode_words(", ".join(self.values(name))[:MAX_HEADER]))

    def sender(self) -> tuple[str, str]:
        """The first address of From, else of Sender: for display, and as a bare address in lower case ("" for
        none)."""
        name = "from" if self._first("from") else "sender"
        found = self.addresses(name)
        first = next((each for each in found if each.has_domain), next(iter(found), None))
        if first is None:
            return self.line(name)[:MAX_LINE_CHARACTERS], ""
        bare = first.address.lower() if first.has_domain else ""
        return charsets.storable(str(first))[:MAX_LINE_CHARACTERS], bare[:MAX_LINE_CHARACTERS]

    def date(self) -> datetime | None:
        """The first Date field (RFC 5322, 3.6.1) that is a date. None, with a defect, if there are fields, but none
        is."""
        stated = [value for value in self.values("date") if value.strip()][:_MOST_DATES]
        found = (dates.read(charsets.unfold(each)[:200]) for each in stated)
        date = next(filter(None, found), None)
        if stated and date is None:
            self._defects.append("DateHeaderDefect")
        return date


def _read_addresses(line: str) -> tuple[Mailbox, ...]:
    return tuple(addresses.read(line))


_remembered = lru_cache(maxsize=4096)(_read_addresses)
