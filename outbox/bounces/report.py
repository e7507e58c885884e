"""What a report says, whatever its form. Pure, and importable without Django: parser processes make these."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_RECIPIENTS = 100
MAX_WORDS = 1000
MAX_ADDRESS = 320  # characters
ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")
COMPLAINT = "complaint"  # the recipient told his provider that the mail is unwanted (RFC 5965)
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")


@dataclass(frozen=True)
class RecipientReport:
    address: str  # the one we wrote to, where the report tells it
    final: str  # where a forwarding server sent it in the end
    action: str  # one of ACTIONS, or COMPLAINT
    status_code: str  # RFC 3463, as "5.1.1", or ""
    words: str  # of the server that refused


@dataclass(frozen=True)
class Stamps:
    """What we put into the mail that is reported on; "" where the report does not return it."""

    message_id: str = ""  # as written
    prx_attempt: str = ""  # X-PRX-Attempt


@dataclass(frozen=True)
class ParsedReport:
    """`is_in_free_text`: the recipients are all addresses that a text for people names, some of which are none; one
    without an address is whoever the only recipient was."""

    stamps: Stamps
    reporter: str
    recipients: tuple[RecipientReport, ...]
    envelope_id: str = ""  # Original-Envelope-Id: what was given as ENVID when it was sent; "" when not told
    is_in_free_text: bool = False


def clean(text: str, limit: int = MAX_WORDS) -> str:
    """One line that every database holds."""
    text = text.encode("utf-8", "replace").decode("utf-8", "replace").replace("\x00", "\ufffd")
    return " ".join(text.split())[:limit]


def status_code(text: str) -> str:
    """The first enhanced status code in it, or ""."""
    found = _STATUS.search(text)
    return found[0] if found else ""
