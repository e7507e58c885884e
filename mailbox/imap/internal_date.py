"""INTERNALDATE (RFC 3501, 9: date-time) as servers write it; other forms as the Date of a mail may have them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz

from mailbox.mime import dates

# Also with one digit for the day, blanks for hyphens and a weekday before it (RFC 2822), without seconds or zone.
_FORM = re.compile(
    r"(\d{1,2})[- ]([A-Za-z]{3})[a-z]*[- ](\d{4}) +(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,]\d+)?)? *"
    r"([+-]\d\d:?\d\d|[A-Za-z]*)"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_LONGEST = 200  # characters
EARLIEST, LATEST = 1970, 9998  # years; others are a server's "no date", and leave the calendar in another zone


def parse(written: bytes) -> datetime | None:
    """In UTC; None when it is no date, as NIL, 31 February, or the year 0."""
    stated = written.decode("ascii", "replace")[:_LONGEST]
    found = _FORM.search(stated)
    if found is None:
        date = dates.read(stated)
        return date.astimezone(UTC) if date and EARLIEST <= date.year <= LATEST else None
    day, month, year, hour, minute, second, zone = found.groups()
    if month.lower() not in _MONTHS or not EARLIEST <= int(year) <= LATEST:
        return None
    if int(hour) > 24 or int(minute) > 59 or zone.lower() in ("am", "pm"):
        return None
    try:
        midnight = datetime(int(year), _MONTHS.index(month.lower()) + 1, int(day), tzinfo=UTC)
    except ValueError:
        return None
    # 24:00:00 is the next day's midnight, as in ISO 8601; a leap second is the one before it.
    time = timedelta(hours=int(hour), minutes=int(minute), seconds=min(int(second or 0), 59))
    return midnight + time - _offset(zone)


def _offset(zone: str) -> timedelta:
    """From UTC; a zone that nobody knows counts as UTC."""
    if zone[:1] in ("+", "-"):
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        if offset >= timedelta(hours=24):
            return timedelta(0)
        return -offset if zone[0] == "-" else offset
    named = parsedate_tz(f"1 Jan 2000 00:00:00 {zone}") if zone else None
    return timedelta(seconds=(named[9] or 0) if named else 0)
