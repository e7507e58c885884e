"""What a reply, a reply to all and a forwarded mail begin with. Pure; a person changes it before it goes out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from mailbox.mime.addresses import AddressError, canonical, read, same
from outbox.compose.addresses import MAX_RECIPIENTS, Address, refuse_breaks, text_of
from outbox.errors import ValidationFailed

QUOTED_CHARACTERS = 20_000
FORWARDED_CHARACTERS = 200_000
SHOWN_CHARACTERS = 1_000  # of a header line in a forwarded mail
_MAX_HEADER = 60_000  # characters of an address header that are looked at
_REPLY = re.compile(r"^re\s*+(?:\[\d++\]\s*+)?:", re.IGNORECASE)
_REPLIES = re.compile(r"^(?:re\s*+(?:\[\d++\]\s*+)?:\s*+)+", re.IGNORECASE)
_FORWARD = re.compile(r"^(?:(?:fwd?|wg|tr|rv)\s*+(?:\[\d++\]\s*+)?:\s*+)+", re.IGNORECASE)


@dataclass(frozen=True)
class OriginalMessage:
    """What is answered or passed on: header values as shown, and the text."""

    subject: str
    sender: str
    reply_to: str
    recipients: str
    cc: str
    text: str
    at: datetime  # in the reader's time zone


@dataclass(frozen=True)
class ReplyAllRecipients:
    """Recipients of a reply to all, as header text. `left_out`: how many found no room in one mail."""

    to: str
    cc: str
    left_out: int = 0


def reply_to_all(letter: OriginalMessage, own: Collection[str]) -> ReplyAllRecipients:
    """RFC 5322, 3.6.3: To whom an answer goes, and with them everybody else who got the mail, each once and never us.

    An answer to a mail of our own goes to those it went to. What is no address is left out: a person still reads it.
    """
    mine = {same(address) for address in own}
    to = _once(_answered(letter, mine), set())
    others = [*sendable(letter.recipients), *sendable(letter.cc)]
    cc = _once(others, mine | {same(each.spec) for each in to})
    room = max(0, MAX_RECIPIENTS - len(to))
    left_out = max(0, len(to) - MAX_RECIPIENTS) + max(0, len(cc) - room)
    return ReplyAllRecipients(text_of(to[:MAX_RECIPIENTS]), text_of(cc[:room]), left_out)


def answer_to(letter: OriginalMessage, own: Collection[str]) -> str:
    """To whom a simple answer goes, as header text; "" where that must be read by a person."""
    return text_of(_once(_answered(letter, {same(address) for address in own}), set())[:MAX_RECIPIENTS])


def _answered(letter: OriginalMessage, mine: Collection[str]) -> list[Address]:
    """Reply-To, else From; where that is ourselves, the next: a form on our site has our address in Reply-To and the
    customer's in From, and an answer to a mail of our own goes to those it went to. A Reply-To that cannot be read is
    not passed over for From (RFC 5322, 3.6.2)."""
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
    """Those of a stored header value that can be sent to."""
    found: list[Address] = []
    for each in read(text[:_MAX_HEADER], is_decoded=True):
        try:
            refuse_breaks("The name", each.name)
            found.append(Address(each.name, canonical(each.address)))
        except (AddressError, ValidationFailed):
            continue
    return found


def reply_subject(subject: str) -> str:
    """With one `Re: `, however it is spelled there already."""
    return subject if _REPLY.match(subject) else f"Re: {subject}".rstrip()


def bare_subject(subject: str) -> str:
    """Without any `Re: ` before it."""
    return _REPLIES.sub("", subject).strip()


def forward_subject(subject: str) -> str:
    """With one `Fwd: `, in whatever language it was forwarded before."""
    return f"Fwd: {_FORWARD.sub('', subject)}".rstrip()


def signed(signature: str, below: str = "") -> str:
    """A text to begin from: room to write, the signature behind its separator (RFC 3676, 4.3), and what is answered."""
    lines = signature.rstrip()
    return f"\n\n-- \n{lines}\n{below}" if lines else below


def is_unwritten(text: str, signature: str) -> bool:
    """Whether there is nothing in a text but the signature that it began with."""
    begun = ("", signed(signature))
    return _without_blanks(text) in map(_without_blanks, begun)


def _without_blanks(text: str) -> list[str]:
    """Its lines, without blanks at their ends and the empty lines around them."""
    return [line.rstrip() for line in text.strip().splitlines()]


def quoted(letter: OriginalMessage) -> str:
    """The text below an introduction, each line marked, at most QUOTED_CHARACTERS of it."""
    lines = letter.text[:QUOTED_CHARACTERS].rstrip().splitlines()
    marked = "\n".join(f">{line}" if line.startswith(">") else f"> {line}" for line in lines)
    return f"\n\nOn {letter.at:%Y-%m-%d at %H:%M}, {_line(letter.sender) or 'someone'} wrote:\n{marked}\n"


def forwarded(letter: OriginalMessage) -> str:
    """The text below its header lines, not marked, as mail programs do."""
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
