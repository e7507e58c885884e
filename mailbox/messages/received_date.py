"""The date of the newest Received field (RFC 5321, 4.4), for servers that state no INTERNALDATE. Pure."""

from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime

from mailbox.imap.internal_date import EARLIEST, LATEST
from mailbox.parsing.parse_job import header_of

_RECEIVED = re.compile(rb"^Received:((?:[^\r\n]|\r?\n[ \t])*)", re.I | re.M)
MOST_READ = 64 * 1024  # bytes of the header
MOST_FIELDS = 50


def newest_received(raw: bytes) -> datetime | None:
    """The newest date of all Received fields, in UTC; None if none has one. The date follows the last semicolon."""
    header = bytes(header_of(raw)[:MOST_READ])
    fields = [found[1] for _, found in zip(range(MOST_FIELDS), _RECEIVED.finditer(header), strict=False)]
    dates = [date for field in fields if (date := _date(field.rpartition(b";")[2]))]
    return max(dates, default=None)


def _date(words: bytes) -> datetime | None:
    try:
        date = email.utils.parsedate_to_datetime(" ".join(words.decode("latin-1").split()))
        date = (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if EARLIEST <= date.year <= LATEST else None
