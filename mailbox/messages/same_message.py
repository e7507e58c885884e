"""Decides whether two mails with one Message-ID are copies of one mail. Pure.

A forged Message-ID must not hide an older mail, so they are the same mail only if From, Subject, Date and body are
equal. The one exception, common and harmless, is a mailing list's copy: it has a [tag] before the subject and a footer
below the body.

Of a mail above the size limit only the header is stored, so its body cannot be compared. Anybody can write a small mail
with the same header fields, and it must not take the large one's row. Two mails, one of which is incomplete, are the
same only if header and size are equal, or if both were fetched from the same place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mailbox.mime.message import ParsedMessage

if TYPE_CHECKING:
    from mailbox.models import Message

_TAG = re.compile(r"^((?:(?:re|fwd?|aw|wg|sv):\s*)*)\[[^\]]{1,80}\]\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Identity:
    """The values by which mails are compared: bodies if both mails are complete, else `header_digest` and `size`."""

    sender: str
    subject: str
    date: datetime | None
    body_text: str
    body_html: str
    attachments: tuple[str, ...]  # digests
    is_complete: bool
    from_list: bool | None  # it has a List-ID; None: unknown
    header_digest: str = ""  # SHA-256 of the header, hex
    size: int = 0  # RFC822.SIZE, bytes

    @classmethod
    def of(cls, parsed: ParsedMessage, *, is_complete: bool, header_digest: str, size: int) -> Identity:
        """The identity of a mail that is parsed and not stored yet. size: bytes."""
        return cls(
            sender=_folded(parsed.sender_address or parsed.sender),
            subject=_spaced(parsed.subject),
            date=parsed.date,
            body_text=_spaced(parsed.body_text),
            body_html=_spaced(parsed.body_html),
            attachments=tuple(sorted(attachment.digest for attachment in parsed.attachments)),
            is_complete=is_complete,
            from_list=bool(parsed.list_id),
            header_digest=header_digest,
            size=size,
        )

    @classmethod
    def of_row(cls, message: Message, header_digest: str) -> Identity:
        """From the row alone, which does not tell whether the mail has a List-ID. So a list's copy counts as another
        mail."""
        return cls(
            sender=_folded(message.sender_address or message.sender),
            subject=_spaced(message.subject),
            date=message.date,
            body_text=_spaced(message.body_text),
            body_html=_spaced(message.body_html),
            attachments=tuple(sorted(each["digest"] for each in message.attachments)),
            is_complete=message.is_complete,
            from_list=None,
            header_digest=header_digest,
            size=message.size,
        )


def same_mail(one: Identity, other: Identity, *, is_same_place: bool = False) -> bool:
    """Whether both are copies of one mail. is_same_place: both were fetched from one folder, UIDVALIDITY and UID."""
    if (one.sender, one.date) != (other.sender, other.date):
        return False
    if not (one.is_complete and other.is_complete):
        is_this_one = is_same_place or (one.header_digest, one.size) == (other.header_digest, other.size)
        return is_this_one and one.subject == other.subject
    if None not in (one.from_list, other.from_list) and one.from_list != other.from_list:
        original, copy = (other, one) if one.from_list else (one, other)
        return _same_but_for_the_list(original, copy)
    if one.subject != other.subject:
        return False
    return (one.body_text, one.body_html, one.attachments) == (other.body_text, other.body_html, other.attachments)


def _same_but_for_the_list(original: Identity, copy: Identity) -> bool:
    if original.subject not in (copy.subject, _TAG.sub(r"\1", copy.subject)):
        return False
    if not set(original.attachments) <= set(copy.attachments):
        return False
    html = original.body_html.lower().removesuffix("</html>").strip().removesuffix("</body>").strip()
    return copy.body_text.startswith(original.body_text) and copy.body_html.lower().startswith(html)


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _folded(text: str) -> str:
    return _spaced(text).casefold()
