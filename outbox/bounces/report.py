"""The result of reading a report, whatever its format. Pure, and without Django, as parser processes make it."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_RECIPIENTS = 100
MAX_WORDS = 1000
MAX_ADDRESS = 320  # characters
ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")
COMPLAINT = "complaint"  # the recipient told the provider that the mail is unwanted (RFC 5965)
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")


@dataclass(frozen=True)
class RecipientReport:
    """The report on one recipient: its per-recipient fields (RFC 3464 2.3), or what a text says of an address."""

    address: str  # Original-Recipient (the address we sent to), else Final-Recipient
    final: str  # Final-Recipient: the address after forwarding
    action: str  # one of ACTIONS, or COMPLAINT
    status_code: str  # RFC 3463, as "5.1.1", or ""
    words: str  # the refusing server's text (Diagnostic-Code)


@dataclass(frozen=True)
class Stamps:
    """The values that we put into the header of the mail; "" if the report does not return them."""

    message_id: str = ""  # as written
    prx_attempt: str = ""  # X-PRX-Attempt


@dataclass(frozen=True)
class ParsedReport:
    """A delivery report or complaint.

    is_in_free_text: `recipients` are all addresses in a text, so some may not be recipients of the mail. One without an
    address stands for the mail's recipient if it had only one.
    """

    stamps: Stamps
    reporter: str
    recipients: tuple[RecipientReport, ...]
    envelope_id: str = ""  # Original-Envelope-Id: the ENVID that the mail was sent with; "" if not stated
    is_in_free_text: bool = False


def clean(text: str, limit: int = MAX_WORDS) -> str:
    """The text as one line of at most `limit` characters, without NUL and lone surrogates, which databases refuse."""
    text = text.encode("utf-8", "replace").decode("utf-8", "replace").replace("\x00", "\ufffd")
    return " ".join(text.split())[:limit]


def status_code(text: str) -> str:
    """The first enhanced status code (RFC 3463) in a text, or ""."""
    found = _STATUS.search(text)
    return found[0] if found else ""
