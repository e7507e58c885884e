"""Writes one mail as an entry of an mbox file (RFC 4155), quoted as mboxrd. Pure.

A ">" is added to each line that begins with "From " or with any number of ">" and "From ". Nothing else is changed, not
even line endings, so a reader that removes one ">" from each such line gets the stored bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_LOOKS_LIKE_FROM = re.compile(rb"^(>*From )", re.MULTILINE)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NOBODY = "MAILER-DAEMON"


def entry(raw: bytes, sender: str, at: datetime) -> bytes:
    """The mail with its "From " line before it and an empty line behind it. `at`: with a time zone."""
    quoted = _LOOKS_LIKE_FROM.sub(rb">\1", raw)
    end = b"\n" if quoted.endswith(b"\n") else b"\n\n"
    return b"".join((separator(sender, at), quoted, end))


def separator(sender: str, at: datetime) -> bytes:
    """The "From " line: the sender, or NOBODY for an unusual address, and the time in UTC as asctime() writes it.

    Not by strftime(), whose names of days and months depend on the locale.
    """
    address = sender if re.fullmatch(r"[!-?A-~]+@[!-~]+", sender) else NOBODY
    utc = at.astimezone(UTC)
    when = f"{_DAYS[utc.weekday()]} {_MONTHS[utc.month - 1]} {utc.day:2} {utc:%H:%M:%S} {utc.year:04}"
    return f"From {address} {when}\n".encode("ascii")
