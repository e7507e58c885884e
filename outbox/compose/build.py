"""Builds a new mail or a reply from a request: frozen MIME and envelope. Pure.

The MIME is 7-bit (but for local parts that need SMTPUTF8) and has no Message-ID, which each attempt adds (`stamped`).
A retry sends the same bytes, attachments included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime

from django.utils.translation import gettext, ngettext

from outbox.compose import addresses, mime_parts, replies, text_parts
from outbox.compose.addresses import MAX_RECIPIENTS, Address, refuse_breaks
from outbox.compose.attachments import AttachmentContent
from outbox.compose.sizes import MAX_SUBJECT
from outbox.errors import ValidationFailed

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_REFERENCES_BYTES = 1800
MAX_MESSAGE_ID = 996  # octets; a line has at most 998 (RFC 5322 2.1.1), and a folded one begins with a space
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+>")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REPLY_PREFIX = re.compile(r"^(?:re\s*+(?:\[\d++\]\s*+)?:\s*+)+", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """A mail that a person or a program asks to send, not checked yet."""

    to: str | Sequence[str]
    subject: str
    body_text: str
    cc: str | Sequence[str] = ()
    bcc: str | Sequence[str] = ()
    body_html: str = ""
    auto_submitted: bool = False  # no person wrote it; automatic responders then send no answer (RFC 3834)
    may_be_empty: bool = False  # a person confirmed that the mail has no text


@dataclass(frozen=True)
class RepliedMessage:
    """The header values of a received message that a reply to it needs."""

    message_id: str
    subject: str
    sender: str
    sender_address: str
    reply_to: str
    references_header: str
    in_reply_to: str


@dataclass(frozen=True)
class Threading:
    """The values of In-Reply-To and References, "" if there are none."""

    in_reply_to: str = ""
    references: str = ""


@dataclass(frozen=True)
class FrozenMessage:
    """A mail ready for the outbox. `recipients` are (kind, addr-spec), each address once."""

    mime: bytes
    mail_from: str
    recipients: tuple[tuple[str, str], ...]
    to: str
    cc: str
    bcc: str
    subject: str
    body_text: str
    body_html: str
    threading: Threading
    needs_smtputf8: bool
    message_id: str = ""  # the Message-ID in `mime`; "": each attempt makes one
    header_from: str = ""  # the value of From if its address is not the account's own; else ""
    dsn_parameters: str = ""  # of MAIL (RFC 3461), as a program submitted them
    dsn_parameters_of: Mapping[str, str] = field(default_factory=dict)  # of RCPT, likewise, by addr-spec


def freeze(
    request: Request,
    sender: Address,
    attachments: Sequence[AttachmentContent],
    *,
    now: datetime,
    threading: Threading | None = None,
    mail_from: str = "",
) -> FrozenMessage:
    """Check a request and build its mail. Raises ValidationFailed, whose text says what to correct.

    sender: the address of From. mail_from: the envelope's sender; "" means the address of From.
    """
    threading = threading or Threading()
    to = addresses.parse(gettext("To"), request.to)
    cc, bcc = addresses.parse(gettext("Cc"), request.cc), addresses.parse(gettext("Bcc"), request.bcc)
    if not to:
        raise ValidationFailed(gettext("Give at least one recipient in To."))
    recipients = _envelope(to, cc, bcc)
    subject = checked_subject(request.subject)
    text, html = (
        _checked_body(gettext("The text"), request.body_text),
        _checked_body(gettext("The HTML"), request.body_html),
    )
    if not text.strip() and not request.may_be_empty:
        raise ValidationFailed(gettext("Write a text: the body is empty."))
    header = _header(sender, to, cc, subject, threading, now)
    header += b"Auto-Submitted: auto-generated\r\n" if request.auto_submitted else b""
    # Bcc is not in the header, but a Bcc address with a non-ASCII local part needs SMTPUTF8 in the envelope.
    everyone = [sender, Address("", mail_from or sender.spec), *to, *cc, *bcc]
    return FrozenMessage(
        mime=header + _body(text, html, attachments),
        mail_from=mail_from or sender.spec,
        recipients=recipients,
        to=addresses.text_of(to),
        cc=addresses.text_of(cc),
        bcc=addresses.text_of(bcc),
        subject=subject,
        body_text=text,
        body_html=html,
        threading=threading,
        needs_smtputf8=any(address.needs_smtputf8 for address in everyone),
        header_from=addresses.text_of([sender]) if mail_from and mail_from != sender.spec else "",
    )


def _envelope(to: Sequence[Address], cc: Sequence[Address], bcc: Sequence[Address]) -> tuple[tuple[str, str], ...]:
    kinds: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for kind, group in (("to", to), ("cc", cc), ("bcc", bcc)):
        for address in group:
            # Domains are compared without case. Local parts that differ in case may be two mailboxes (RFC 5321 2.4).
            local, _, domain = address.spec.rpartition("@")
            if (local, domain.lower()) not in seen:
                seen.add((local, domain.lower()))
                kinds[address.spec] = kind
    if len(kinds) > MAX_RECIPIENTS:
        raise ValidationFailed(
            ngettext(
                "A mail goes to at most %(most)s recipient, this one has %(number)s: send it in parts.",
                "A mail goes to at most %(most)s recipients, this one has %(number)s: send it in parts.",
                MAX_RECIPIENTS,
            )
            % {"most": MAX_RECIPIENTS, "number": len(kinds)}
        )
    return tuple((kind, spec) for spec, kind in kinds.items())


def checked_subject(subject: str) -> str:
    """The subject without surrounding whitespace. Raises ValidationFailed."""
    if not isinstance(subject, str) or not subject.strip():
        raise ValidationFailed(gettext("Write a subject: it is empty."))
    refuse_breaks(gettext("The subject"), subject)
    if len(subject) > MAX_SUBJECT:
        raise ValidationFailed(
            ngettext(
                "The subject is longer than %(number)s character: shorten it.",
                "The subject is longer than %(number)s characters: shorten it.",
                MAX_SUBJECT,
            )
            % {"number": MAX_SUBJECT}
        )
    return subject.strip()


def _checked_body(name: str, text: str) -> str:
    if not isinstance(text, str):
        raise ValidationFailed(gettext("%(field)s of the mail must be text.") % {"field": name})
    if "\x00" in text:
        raise ValidationFailed(
            gettext("%(field)s holds a NUL character, which no mail can carry: remove it.") % {"field": name}
        )
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValidationFailed(
            gettext("%(field)s holds half of a character (a lone surrogate): type it again.") % {"field": name}
        ) from None
    if size > MAX_BODY_BYTES:
        raise ValidationFailed(gettext("%(field)s is larger than 10 MiB: attach it as a file.") % {"field": name})
    return text


def _header(
    sender: Address, to: Sequence[Address], cc: Sequence[Address], subject: str, threading: Threading, now: datetime
) -> bytes:
    lines = [
        f"Date: {format_datetime(now)}\r\n".encode("ascii"),
        addresses.address_header("From", [sender]),
        addresses.address_header("To", to),
        addresses.address_header("Cc", cc) if cc else b"",
        addresses.unstructured_header("Subject", subject),
        _message_ids("In-Reply-To", threading.in_reply_to),
        _message_ids("References", threading.references),
    ]
    return b"".join(lines)


def _message_ids(name: str, ids: str) -> bytes:
    """In-Reply-To or References, with one id on each line, as a line has at most 998 octets (RFC 5322 2.1.1)."""
    if not ids:
        return b""
    each = ids.split()
    gap = " " if len(each[0]) <= 900 else "\r\n "
    return (f"{name}:{gap}" + "\r\n ".join(each) + "\r\n").encode("ascii")


def _body(text: str, html: str, attachments: Sequence[AttachmentContent]) -> bytes:
    """The body with MIME-Version and its Content-* fields: 7-bit, lines of at most 78 bytes, CRLF."""
    pictures = [each for each in attachments if each.content_id]
    files = [each for each in attachments if not each.content_id]
    body = text_parts.text_part(text, "" if pictures else html)
    if pictures:
        body = mime_parts.with_pictures(body, text_parts.part(html, "html"), pictures)
    return mime_parts.mixed(body, files) if files else body


def reply_recipients(parent: RepliedMessage) -> str:
    """The recipients of a reply: Reply-To, else From. Raises ValidationFailed if there is no address to reply to.

    If Reply-To has no valid address, From is not used: the author wants no replies there (RFC 5322 3.6.2).
    """
    text = parent.reply_to.strip()
    found = replies.sendable(text or parent.sender) or ([] if text else replies.sendable(parent.sender_address))
    if not found and not text:
        raise ValidationFailed(gettext("The message has no sender to answer to: write a new mail instead."))
    if not found:
        raise ValidationFailed(
            gettext("The message wants answers at “%(text)s”, which is no address: write a new mail instead.")
            % {"text": text[:100]}
        )
    return addresses.text_of(found)


def reply_subject(subject: str) -> str:
    """The subject of a reply: the parent's with exactly one `Re: ` before it."""
    plain = _REPLY_PREFIX.sub("", " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", subject).split()))
    return f"Re: {plain or '(no subject)'}"[:MAX_SUBJECT]


def reply_threading(parent: RepliedMessage) -> Threading:
    """In-Reply-To and References of a reply (RFC 5322 3.6.4).

    References are the parent's References, else its In-Reply-To if that has exactly one id, then its Message-ID.
    """
    message_id = _header_message_id(parent.message_id)
    earlier = _MESSAGE_ID.findall(parent.references_header)
    if not earlier:
        earlier = found if len(found := _MESSAGE_ID.findall(parent.in_reply_to)) == 1 else []
    # No Message-ID in the parent (its `message_id` is then a SHA-256), or one too long for a line: no threading.
    if not message_id or len(message_id) > MAX_MESSAGE_ID:
        return Threading()
    return Threading(message_id, _bounded([each for each in earlier if each != message_id] + [message_id]))


def _header_message_id(message_id: str) -> str:
    if found := _MESSAGE_ID.search(message_id):
        return found[0]
    bare = message_id.strip()
    if "@" in bare and not _DIGEST.fullmatch(bare) and _MESSAGE_ID.fullmatch(f"<{bare}>"):
        return f"<{bare}>"
    return ""


def _bounded(ids: list[str]) -> str:
    """The first id (the root of the conversation) and as many of the last ones as fit in MAX_REFERENCES_BYTES."""
    ids = [each for each in ids if len(each) <= MAX_MESSAGE_ID]
    room = MAX_REFERENCES_BYTES - sum(map(len, ids[:1]))
    last: list[str] = []
    for each in reversed(ids[1:]):
        room -= len(each) + 1
        if room < 0:
            break
        last.insert(0, each)
    return " ".join([*ids[:1], *last] if last or len(ids) == 1 else ids[-1:])


_OWN_MESSAGE_ID = re.compile(rb"^message-id[ \t]*+:", re.I | re.M)


def stamped(mime: bytes, message_id: str, prx_attempt: str) -> bytes:
    """The frozen mail with the two header fields of an attempt added: Message-ID and X-PRX-Attempt.

    A mail that a program submitted may have its own Message-ID; every attempt keeps that. prx_attempt: "" if it is
    unknown, of a mail that went out before a restore.
    """
    header = mime[: mime.find(b"\r\n\r\n") + 2]
    own = f"X-PRX-Attempt: {prx_attempt}\r\n".encode("ascii") if prx_attempt else b""
    if _OWN_MESSAGE_ID.search(header):
        return own + mime
    return f"Message-ID: {message_id}\r\n".encode("ascii") + own + mime
