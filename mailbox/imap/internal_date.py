"""Parses INTERNALDATE (RFC 3501, 9: date-time) as servers write it, else like a mail's Date header. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz

from mailbox.mime import dates

# Also matches a day of one digit, spaces for hyphens, a weekday in front (RFC 2822), no seconds and no zone.
_FORM = re.compile(
    r"(\d{1,2})[- ]([A-Za-z]{3})[a-z]*[- ](\d{4}) +(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,]\d+)?)? *"
    r"([+-]\d\d:?\d\d|[A-Za-z]*)"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_LONGEST = 200  # characters
# Years. Servers write others for "no date", and a shift to another zone could leave the range of datetime.
EARLIEST, LATEST = 1970, 9998


def parse(written: bytes) -> datetime | None:
    """The date in UTC; None for NIL, 31 February, the year 0 and anything else that is no date."""
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
    # 24:00:00 is midnight of the next day, as in ISO 8601. A leap second (:60) is read as :59.
    time = timedelta(hours=int(hour), minutes=int(minute), seconds=min(int(second or 0), 59))
    return midnight + time - _offset(zone)


def _offset(zone: str) -> timedelta:
    """The zone's offset from UTC; an unknown zone counts as UTC."""
    if zone[:1] in ("+", "-"):
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        if offset >= timedelta(hours=24):
            return timedelta(0)
        return -offset if zone[0] == "-" else offset
    named = parsedate_tz(f"1 Jan 2000 00:00:00 {zone}") if zone else None
    return timedelta(seconds=(named[9] or 0) if named else 0)
