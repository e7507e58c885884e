"""One mail as it stands in an mbox file (RFC 4155), quoted as mboxrd. Pure.

Nothing of the mail is changed but the quoting, not even its line ends: whoever takes one ">" off each line that begins
with ">", more of them, and "From ", has the stored bytes again.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_LOOKS_LIKE_FROM = re.compile(rb"^(>*From )", re.MULTILINE)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NOBODY = "MAILER-DAEMON"


def entry(raw: bytes, sender: str, at: datetime) -> bytes:
    quoted = _LOOKS_LIKE_FROM.sub(rb">\1", raw)
    end = b"\n" if quoted.endswith(b"\n") else b"\n\n"
    return b"".join((separator(sender, at), quoted, end))


def separator(sender: str, at: datetime) -> bytes:
    """`at`: in UTC, as asctime() writes it, in English wherever we are."""
    address = sender if re.fullmatch(r"[!-?A-~]+@[!-~]+", sender) else NOBODY
    utc = at.astimezone(UTC)
    when = f"{_DAYS[utc.weekday()]} {_MONTHS[utc.month - 1]} {utc.day:2} {utc:%H:%M:%S} {utc.year:04}"
    return f"From {address} {when}\n".encode("ascii")
