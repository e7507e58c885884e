"""A delivery report -> whom it is about and what it says. Pure: bytes in, a Report out, None when it is none.

RFC 3464 (message/delivery-status), RFC 6533 (message/global-delivery-status), and qmail's plain-text bounces (QSBMF).
An automatic answer (RFC 3834), a vacation notice or a read receipt is none of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from email.message import Message
from itertools import islice

from django.utils.translation import gettext, gettext_noop

MAX_BYTES = 2 * 1024 * 1024  # the reports come first; what is cut off is the end of the returned mail
MAX_RECIPIENTS = 100
MAX_PARTS = 50
MAX_WORDS = 1000
STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
HEADER_TYPES = ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers")
MAIL_TYPES = ("message/rfc822", "message/global")
ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_QMAIL_START = "Hi. This is the"
_QMAIL_COPY = re.compile(r"^--- (?:Below this line is a copy of the message|Enclosed is a copy of the message)", re.M)
_QMAIL_FAILED = re.compile(r"<([^<>\s]++)>:\s*+")  # of a whole line


@dataclass(frozen=True)
class RecipientReport:
    address: str  # the one we wrote to, where the report tells it
    final: str  # where a forwarding server sent it in the end
    action: str  # one of ACTIONS
    status_code: str  # RFC 3463, as "5.1.1", or ""
    words: str  # of the server that refused


@dataclass(frozen=True)
class Report:
    message_id: str  # of the mail that is reported on, as written; "" when the report does not tell
    prx_attempt: str  # its X-PRX-Attempt, likewise
    reporter: str
    recipients: tuple[RecipientReport, ...]
    envelope_id: str = ""  # Original-Envelope-Id: what was given as ENVID when it was sent, likewise


def read(raw: bytes) -> Report | None:
    """Read a mail as a delivery report. Hostile structure is no report; nothing is raised."""
    try:
        mail = message_from_bytes(raw[:MAX_BYTES])
        parts = list(_parts(mail))
        if any(part.get_content_type() in STATUS_TYPES for part in parts):
            return _rfc3464(parts)
        return _qmail(mail)
    except (MessageError, ValueError, LookupError, RecursionError, AttributeError, TypeError):
        return None


def _parts(mail: Message) -> Iterator[Message]:
    """The parts of a multipart/report, also where a gateway wrapped it once more."""
    for part in _children(mail):
        yield part
        if part.get_content_maintype() == "multipart":
            yield from _children(part)


def _children(mail: Message) -> list[Message]:
    content = mail.get_payload()
    found = content if mail.get_content_maintype() == "multipart" and isinstance(content, list) else []
    return [part for part in found[:MAX_PARTS] if isinstance(part, Message)]


def _rfc3464(parts: list[Message]) -> Report | None:
    status = next(part for part in parts if part.get_content_type() in STATUS_TYPES)
    blocks = status.get_payload()
    if status.get_content_type() != STATUS_TYPES[0] and isinstance(blocks, list):
        # The standard library knows only the older kind, and takes this one for a mail with header and body.
        whole = b"".join(part.as_bytes() for part in blocks if isinstance(part, Message))
        blocks = [message_from_bytes(block) for block in re.split(rb"\r?\n\r?\n", whole) if block.strip()]
    if not isinstance(blocks, list):
        return None
    groups = [block for block in blocks if isinstance(block, Message)]
    found = [each for block in groups[: MAX_RECIPIENTS + 1] if (each := _recipient(block))]
    returned = _returned_header(parts)
    reporter = next((_typed(block["Reporting-MTA"]) for block in groups if block["Reporting-MTA"]), "")
    if not found:
        return None
    envelope_id = next((str(block["Original-Envelope-Id"]) for block in groups if block["Original-Envelope-Id"]), "")
    return Report(*_stamps(returned), reporter[:200], tuple(found), clean(envelope_id, 100))


def _bytes(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _recipient(block: Message) -> RecipientReport | None:
    final, original = (
        clean(_typed(block[name]).removeprefix("<").removesuffix(">"), 320)  # Domino and others write a path
        for name in ("Final-Recipient", "Original-Recipient")
    )
    action = _action(str(block["Action"] or ""))
    if not (final or original) or action not in ACTIONS:
        return None
    code = _STATUS.search(str(block["Status"] or ""))
    words = clean(_typed(block["Diagnostic-Code"]))
    return RecipientReport(original or final, final or original, action, code[0] if code else "", words)


def _action(stated: str) -> str:
    """Its one word: RFC 3464, 2.3.3 allows a comment behind it, as in `failed (bad mailbox)`."""
    action = stated.partition("(")[0].strip().lower()
    return "failed" if action == "expired" else action  # some gateways' word for what was given up


def _typed(value: object) -> str:
    """ "rfc822; ann@example.com" -> "ann@example.com" (RFC 3464, 2.1.2: a type, a semicolon, the value)."""
    text = " ".join(str(value or "").split())
    kind, separator, rest = text.partition(";")
    return rest.strip() if separator and " " not in kind.strip() else text


def _returned_header(parts: list[Message]) -> Message | None:
    """The header of the mail that is reported on, returned whole or alone."""
    for part in parts:
        kind = part.get_content_type()
        if kind in HEADER_TYPES:
            return message_from_bytes(_bytes(part).lstrip())
        if kind in MAIL_TYPES:
            content = part.get_payload()
            if isinstance(content, list) and content and isinstance(content[0], Message):
                return content[0]
            return message_from_bytes(_bytes(part).lstrip())
    return None


def _stamps(header: Message | None) -> tuple[str, str]:
    if header is None:
        return "", ""
    return clean(str(header["Message-ID"] or ""), 998), clean(str(header["X-PRX-Attempt"] or ""), 64)


def _qmail(mail: Message) -> Report | None:
    """The qmail-send bounce message format (D. J. Bernstein, 1997): paragraphs that begin with the address."""
    if mail.is_multipart():
        return None
    text = _bytes(mail).decode("utf-8", "replace").replace("\r\n", "\n").lstrip()
    copy = _QMAIL_COPY.search(text)
    if not text.startswith(_QMAIL_START) or copy is None:
        return None
    found = []
    for address, words in islice(_qmail_paragraphs(text[: copy.start()]), MAX_RECIPIENTS):
        code = _STATUS.search(words)
        found.append(RecipientReport(address, address, "failed", code[0] if code else "", words))
    if not found:
        return None
    rest = text[copy.end() :].partition("\n")[2].lstrip()
    returned = message_from_bytes(rest.encode("utf-8", "replace"))
    return Report(*_stamps(returned), "", tuple(found))


def _qmail_paragraphs(text: str) -> Iterator[tuple[str, str]]:
    """An address alone on its line, and the lines below it up to an empty one or the next address."""
    address, words = "", list[str]()
    for line in (*text.split("\n"), ""):
        begins = _QMAIL_FAILED.fullmatch(line)
        if begins or not line.strip():
            if "@" in address:
                yield clean(address, 320), clean(" ".join(words))
            address, words = begins[1] if begins else "", []
        elif address:
            words.append(line)


def clean(text: str, limit: int = MAX_WORDS) -> str:
    """One line that every database holds."""
    text = text.encode("utf-8", "replace").decode("utf-8", "replace").replace("\x00", "�")
    return " ".join(text.split())[:limit]


# RFC 3463, 3.2 to 3.8, and the registry of enhanced status codes: those that are met.
_WORDS = {
    "1.0": gettext_noop("Something is wrong with the address."),
    "1.1": gettext_noop("There is no such mailbox."),
    "1.2": gettext_noop("There is no such domain."),
    "1.3": gettext_noop("The address is written wrongly."),
    "1.6": gettext_noop("The mailbox has moved and left no address."),
    "1.10": gettext_noop("The domain takes no mail."),
    "2.0": gettext_noop("Something is wrong with the mailbox."),
    "2.1": gettext_noop("The mailbox is disabled."),
    "2.2": gettext_noop("The mailbox is full."),
    "2.3": gettext_noop("The mail is larger than the mailbox takes."),
    "3.1": gettext_noop("The server's disk is full."),
    "3.4": gettext_noop("The mail is too large for the server."),
    "4.1": gettext_noop("The recipient's server does not answer."),
    "4.2": gettext_noop("The connection to the recipient's server broke."),
    "4.3": gettext_noop("The recipient's domain cannot be looked up."),
    "4.4": gettext_noop("The mail cannot be routed."),
    "4.6": gettext_noop("The mail went round in a circle."),
    "4.7": gettext_noop("The mail was not delivered in time."),
    "5.2": gettext_noop("The server does not understand the sending one."),
    "5.3": gettext_noop("The mail has too many recipients."),
    "6.0": gettext_noop("The server does not take this kind of content."),
    "7.0": gettext_noop("The recipient's server refuses the mail by its rules."),
    "7.1": gettext_noop("The recipient's server refuses the mail by its rules."),
    "7.7": gettext_noop("The mail was changed on its way."),
    "7.20": gettext_noop("The mail has no valid DKIM signature."),
    "7.23": gettext_noop("The SPF check failed: this server may not send for the domain."),
    "7.25": gettext_noop("The sending server has no valid reverse name."),
    "7.26": gettext_noop("Neither SPF nor DKIM proves who sent the mail."),
}  # fmt: skip
_BY_SUBJECT = {
    "1": gettext_noop("Something is wrong with the address."),
    "2": gettext_noop("Something is wrong with the mailbox."),
    "3": gettext_noop("The recipient's server has a problem of its own."),
    "4": gettext_noop("The mail could not be passed on."),
    "5": gettext_noop("The servers do not understand each other."),
    "6": gettext_noop("The server does not take this kind of content."),
    "7": gettext_noop("The recipient's server refuses the mail by its rules."),
}


def status_words(code: str) -> str:
    """An enhanced status code (RFC 3463) as a sentence, "" for one that says nothing."""
    match = _STATUS.fullmatch(code)
    if not match or match[1] == "2":
        return ""
    words = _WORDS.get(f"{match[2]}.{match[3]}") or _BY_SUBJECT.get(match[2], "")
    return gettext(words) if words else ""
