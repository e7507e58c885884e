"""Recipients that only a further copy of a mail names, as the Bcc of the copy in the Sent folder.

One row stands for all copies of a mail (see same_message) and has the header fields of one of them. Legal holds and the
search for a person need the recipients of all: the bytes of each copy are stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection
from django.db.models import F, TextField, Value
from django.db.models.functions import Coalesce, Concat

from mailbox.mime.addresses import read, same, shown
from mailbox.mime.message import ParsedMessage
from mailbox.models import Message, MessagePlace
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseJob, ParseResult
from mailbox.storage import out_of_reach, raw_store

MOST = 100_000  # characters for a mail: anybody may send further copies of it
MOST_COPIES = 100  # of a mail that are read again


def only_in(copy: ParsedMessage, message: Message) -> str:
    """The recipients of a copy that the message's row names nowhere, each with a comma behind; "" for none."""
    theirs = (copy.recipients, copy.cc, copy.bcc)
    ours = (message.recipients, message.cc, message.bcc)
    noted = message.other_recipients or ""
    if theirs == ours or len(noted) > MOST:
        return ""
    known = {same(each.address) for text in (*ours, noted) for each in read(text, is_decoded=True)}
    found = {same(each.address): each for text in theirs for each in read(text, is_decoded=True) if each.address}
    return "".join(f"{shown([each])}, " for key, each in found.items() if key not in known)


def note(message_pk: int, recipients: str) -> None:
    """Add what only_in() found. In one statement, as a sync and a reading again may do so at once."""
    text = TextField()  # without it PostgreSQL takes the two for different types
    noted = Concat(Coalesce(F("other_recipients"), Value("", text)), Value(recipients, text))
    Message.objects.filter(pk=message_pk).update(other_recipients=noted)


def in_stored_copies(messages: Sequence[Message]) -> dict[int, str]:
    """The message's pk -> only_in() of its copies with other bytes. Copies that cannot be read are left out."""
    rows = MessagePlace.objects.filter(message__in=messages).exclude(raw_digest=F("message__raw_digest"))
    by_pk = {each.pk: each for each in messages}
    digests: dict[int, list[str]] = {}
    for pk, digest in rows.values_list("message_id", "raw_digest").distinct():
        digests.setdefault(pk, []).append(digest)
    found = {}
    for pk, copies in digests.items():
        message, before = by_pk[pk], by_pk[pk].other_recipients or ""
        for digest in copies[:MOST_COPIES]:
            if (copy := _read(digest, message.account_id)) is not None:
                message.other_recipients = (message.other_recipients or "") + only_in(copy, message)
        if new := (message.other_recipients or "").removeprefix(before):
            found[pk] = new
    return found


def _read(digest: str, account_id: int) -> ParsedMessage | None:
    try:
        raw, path = raw_store.map_raw(digest)
    except raw_store.RawOutOfReach as missing:
        out_of_reach.note(missing.segment)
        return None
    except raw_store.RawMissing:
        return None
    reading = parsing_pool.read_one(ParseJob(raw, len(raw), account_id, connection.vendor, path))
    return reading.parsed if isinstance(reading, ParseResult) else None
