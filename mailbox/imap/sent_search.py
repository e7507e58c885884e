"""Searches the server for a mail that one attempt sent: which folders to search, and whether a folder holds the mail.

`matches` decides whether a mail is that attempt's. The Message-ID alone is not enough, as anybody can write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.errors import MessageError
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


def find(session: ImapSession, folder: str, stamp: AttemptHeaders) -> bool:
    """Whether the folder holds the mail of this attempt. Opens the folder read-only.

    Raises MailError, also when no mail matches but the server refused the header of a candidate: then it is unknown.
    """
    uids = session.find_message_id(folder, stamp.message_id)[-LOOKED_AT:]
    refusal: MailError | None = None
    for meta in session.fetch_meta_around(uids):
        try:
            if matches(session.fetch_header(meta).raw, stamp):
                return True
        except MailError as error:
            if not is_refusal(error):
                raise
            refusal = error
    if refusal is not None:
        raise refusal
    return False


def matches(header: bytes, stamp: AttemptHeaders) -> bool:
    """Whether Message-ID and X-PRX-Attempt both equal the attempt's. Needed, as SEARCH also matches substrings."""
    try:
        fields = BytesHeaderParser().parsebytes(header)
    except (MessageError, ValueError):
        return False
    return _value(fields["Message-ID"]) == stamp.message_id and _value(fields["X-PRX-Attempt"]) == stamp.prx_attempt


def _value(field: object) -> str:
    return str(field or "").strip()
