"""Searches the server for a mail that one attempt sent: which folders to search, and whether a folder holds the mail.

AttemptHeaders and ForgottenAttempt decide whether a mail is that attempt's. The Message-ID alone is not enough, as
anybody can write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.errors import MessageError
from email.message import Message
from email.parser import BytesHeaderParser

from mailbox.errors import MailError
from mailbox.imap.responses import is_refusal
from mailbox.imap.session import ImapSession, ListedFolder
from mailbox.imap.special_use import COMMON_NAMES

LOOKED_AT = 20  # mails with the Message-ID that are checked; no mail program makes more


@dataclass(frozen=True)
class AttemptHeaders:
    """The two headers that together identify one attempt."""

    message_id: str
    prx_attempt: str

    @property
    def searched(self) -> tuple[str, ...]:
        """What the Message-ID is searched for."""
        return (self.message_id,)

    def match(self, header: bytes) -> AttemptHeaders | None:
        """The headers if both equal the attempt's, else None. Needed, as SEARCH also matches substrings."""
        found = _read(header)
        return self if found and _headers(found) == self else None


@dataclass(frozen=True)
class ForgottenAttempt:
    """An attempt that a restored database does not know: made after the backup, so with a mark that nobody here knows.

    Its mail has the Date of the row's frozen mail: another database (a copy of this one, or one before an earlier
    restore) may have given the same Message-ID to another mail.

    message_id: the Message-ID of the first such attempt. later: beginning and end of the Message-IDs of all of them,
    between which there is a number; None if they all have the same. known: marks of attempts that the database knows.
    """

    message_id: str
    later: tuple[str, str] | None
    date: str
    known: frozenset[str]

    @property
    def searched(self) -> tuple[str, ...]:
        """The whole Message-ID first, as Gmail finds no parts of one."""
        return (self.message_id, self.later[0]) if self.later else (self.message_id,)

    def match(self, header: bytes) -> AttemptHeaders | None:
        """The headers of the attempt that sent this mail if that is a forgotten one, else None."""
        found = _read(header)
        if found is None or not self.date or _value(found["Date"]) != self.date:
            return None
        headers = _headers(found)
        is_new = bool(headers.prx_attempt) and headers.prx_attempt not in self.known
        return headers if is_new and self._is_message_id(headers.message_id) else None

    def _is_message_id(self, message_id: str) -> bool:
        if self.later is None:
            return message_id == self.message_id
        first, last = self.later
        if not (message_id.startswith(first) and message_id.endswith(last)):
            return False
        number = message_id[len(first) : -len(last)]
        return number.isascii() and number.isdigit() and len(number) < 10


def _read(header: bytes) -> Message | None:
    try:
        return BytesHeaderParser().parsebytes(header)
    except (MessageError, ValueError):
        return None


def _headers(fields: Message) -> AttemptHeaders:
    return AttemptHeaders(_value(fields["Message-ID"]), _value(fields["X-PRX-Attempt"]))


def date_of(header: bytes) -> str:
    """The value of Date, "" if there is none."""
    fields = _read(header)
    return _value(fields["Date"]) if fields else ""


def sent_folder(listed: Sequence[ListedFolder]) -> str | None:
    """The folder for sent mail: the one marked \\Sent, else the first with a common name for it; None without one."""
    usable = [each for each in listed if each.selectable]
    if marked := [each.name for each in usable if each.special_use == "\\Sent"]:
        return marked[0]
    by_rank = sorted((rank, each.name) for each in usable if (rank := _rank(each)) is not None)
    return by_rank[0][1] if by_rank else None


def _rank(each: ListedFolder) -> int | None:
    last = each.name.rpartition(each.delimiter)[2] if each.delimiter else each.name
    name = last.strip().lower()
    return COMMON_NAMES["\\Sent"].index(name) if name in COMMON_NAMES["\\Sent"] else None


def folders_to_look_in(listed: Sequence[ListedFolder]) -> list[str]:
    """The folders to search: Sent first, then those marked \\All (Gmail's All Mail)."""
    found = [sent_folder(listed)]
    found += [each.name for each in listed if each.selectable and each.special_use == "\\All"]
    return list(dict.fromkeys(name for name in found if name))


def find(session: ImapSession, folder: str, wanted: AttemptHeaders | ForgottenAttempt) -> AttemptHeaders | None:
    """The headers of the attempt whose mail the folder holds, else None. Opens the folder read-only.

    Raises MailError, also when no mail matches but the server refused the header of a candidate: then it is unknown.
    """
    refusal: MailError | None = None
    for text in wanted.searched:
        uids = session.find_message_id(folder, text)[-LOOKED_AT:]
        for meta in session.fetch_meta(uids).values():
            try:
                if found := wanted.match(session.fetch_header(meta).raw):
                    return found
            except MailError as error:
                if not is_refusal(error):
                    raise
                refusal = error
    if refusal is not None:
        raise refusal
    return None


def _value(field: object) -> str:
    return str(field or "").strip()
