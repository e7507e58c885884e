"""Recipients, subject and text that a reply, a reply to all and a forwarded mail start with. Pure.

A person sees and may change all of it before it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from mailbox.mime.addresses import AddressError, canonical, read, same
from outbox.compose.addresses import MAX_RECIPIENTS, Address, refuse_breaks, text_of
from outbox.compose.sizes import MAX_SUBJECT
from outbox.errors import ValidationFailed

QUOTED_CHARACTERS = 20_000
FORWARDED_CHARACTERS = 200_000
SHOWN_CHARACTERS = 1_000  # of a header line in a forwarded mail
_MAX_HEADER = 60_000  # characters of an address header that are parsed
_REPLY = re.compile(r"^re\s*+(?:\[\d++\]\s*+)?:", re.IGNORECASE)
_REPLIES = re.compile(r"^(?:re\s*+(?:\[\d++\]\s*+)?:\s*+)+", re.IGNORECASE)
_FORWARD = re.compile(r"^(?:(?:fwd?|wg|tr|rv)\s*+(?:\[\d++\]\s*+)?:\s*+)+", re.IGNORECASE)


@dataclass(frozen=True)
class OriginalMessage:
    """The message that is replied to or forwarded: its header values, decoded, and its text."""

    subject: str
    sender: str
    reply_to: str
    recipients: str
    cc: str
    text: str
    at: datetime  # in the reader's time zone


@dataclass(frozen=True)
class ReplyAllRecipients:
    """Recipients of a reply to all, as header values. `left_out`: how many exceed MAX_RECIPIENTS."""

    to: str
    cc: str
    left_out: int = 0


def reply_to_all(letter: OriginalMessage, own: Collection[str]) -> ReplyAllRecipients:
    """The recipients of a reply to all (RFC 5322 3.6.3): those of a simple reply in To, all others of the mail in Cc.

    Each address occurs once. The account's own addresses (`own`) are left out, as is text that is no address.
    """
    mine = {same(address) for address in own}
    to = _once(_answered(letter, mine), set())
    others = [*sendable(letter.recipients), *sendable(letter.cc)]
    cc = _once(others, mine | {same(each.spec) for each in to})
    room = max(0, MAX_RECIPIENTS - len(to))
    left_out = max(0, len(to) - MAX_RECIPIENTS) + max(0, len(cc) - room)
    return ReplyAllRecipients(text_of(to[:MAX_RECIPIENTS]), text_of(cc[:room]), left_out)


def answer_to(letter: OriginalMessage, own: Collection[str]) -> str:
    """The recipients of a simple reply, as a header value; "" if no usable address was found."""
    return text_of(_once(_answered(letter, {same(address) for address in own}), set())[:MAX_RECIPIENTS])


def _answered(letter: OriginalMessage, mine: Collection[str]) -> list[Address]:
    """The addresses of the first of Reply-To, From and To that names somebody else than us (`mine`).

    Some web forms put our address in Reply-To and the customer's in From; a reply to a mail of our own goes to its
    recipients. If Reply-To has no valid address, From is not used (RFC 5322 3.6.2).
    """
    for text in (letter.reply_to, letter.sender, letter.recipients):
        found = sendable(text)
        if text.strip() and not found and text == letter.reply_to:
            return []
        if others := [each for each in found if same(each.spec) not in mine]:
            return others
    return []


def _once(addresses: Iterable[Address], but: Collection[str]) -> list[Address]:
    seen, kept = set(but), list[Address]()
    for each in addresses:
        if same(each.spec) not in seen:
            seen.add(same(each.spec))
            kept.append(each)
    return kept


def sendable(text: str) -> list[Address]:
    """The addresses of a stored header value that mail can be sent to; others are skipped."""
    found: list[Address] = []
    for each in read(text[:_MAX_HEADER], is_decoded=True):
        try:
            refuse_breaks("The name", each.name)
            found.append(Address(each.name, canonical(each.address)))
        except (AddressError, ValidationFailed):
            continue
    return found


def reply_subject(subject: str) -> str:
    """The subject with `Re: ` before it, unless it begins with a spelling of that already; cut to what may be sent."""
    return (subject if _REPLY.match(subject) else f"Re: {subject}")[:MAX_SUBJECT].rstrip()


def bare_subject(subject: str) -> str:
    """The subject without any `Re: ` before it."""
    return _REPLIES.sub("", subject).strip()


def forward_subject(subject: str) -> str:
    """The subject with one `Fwd: ` before it, which replaces forward prefixes in several languages; cut to what may be
    sent."""
    return f"Fwd: {_FORWARD.sub('', subject)}"[:MAX_SUBJECT].rstrip()


def signed(signature: str, below: str = "") -> str:
    """The initial text of a mail: an empty line, the signature after its separator (RFC 3676 4.3), then `below`."""
    lines = signature.rstrip()
    return f"\n\n-- \n{lines}\n{below}" if lines else below


def is_unwritten(text: str, signature: str) -> bool:
    """Whether a text is empty apart from the signature."""
    begun = ("", signed(signature))
    return _without_blanks(text) in map(_without_blanks, begun)


def _without_blanks(text: str) -> list[str]:
    """The lines of a text, without trailing whitespace and without empty lines before and after them."""
    return [line.rstrip() for line in text.strip().splitlines()]


def quoted(letter: OriginalMessage) -> str:
    """An introduction and at most QUOTED_CHARACTERS of the text, each line marked with ">"."""
    lines = letter.text[:QUOTED_CHARACTERS].rstrip().splitlines()
    marked = "\n".join(f">{line}" if line.startswith(">") else f"> {line}" for line in lines)
    return f"\n\nOn {letter.at:%Y-%m-%d at %H:%M}, {_line(letter.sender) or 'someone'} wrote:\n{marked}\n"


def forwarded(letter: OriginalMessage) -> str:
    """Some header lines and the text of the message, without quote marks, as other mail programs do."""
    lines = [
        ("From", letter.sender),
        ("Date", f"{letter.at:%Y-%m-%d %H:%M %Z}"),
        ("Subject", letter.subject),
        ("To", letter.recipients),
        ("Cc", letter.cc),
    ]
    head = "\n".join(f"{name}: {_line(value)}" for name, value in lines if value)
    return f"\n\n---------- Forwarded message ----------\n{head}\n\n{letter.text[:FORWARDED_CHARACTERS].rstrip()}\n"


def _line(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]} …"
