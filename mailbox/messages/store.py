"""Turns a batch of fetched mails into rows: messages, places, attachments. decide() plans them, write() writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import connection
from django.utils import timezone

from mailbox.db import bulk_insert
from mailbox.imap.fetch import FetchedMessage
from mailbox.messages import conversations, other_recipients, places
from mailbox.messages.received_date import newest_received
from mailbox.messages.same_message import Identity, same_mail
from mailbox.mime.message import ParsedMessage
from mailbox.models import Attachment, Folder, Message, MessagePlace, Quarantine
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseJob, ParseResult
from mailbox.search.index import index_messages
from mailbox.storage import out_of_reach, raw_store

HEADER_FIELDS = ("subject", "sender", "sender_address", "recipients", "cc", "bcc", "reply_to", "in_reply_to", "date")
PARSED_FIELDS = (*HEADER_FIELDS, "references_header", "body_text", "body_html", "attached_text", "snippet")
_parsed_fields = attrgetter(*PARSED_FIELDS)
# Mails with one Message-ID with which a new one is compared, the first ones. Each must be parsed again, so a sender who
# gives one Message-ID to all mails would make each batch parse all before it. A new mail without an equal among them
# gets a row of its own.
MOST_COMPARED = 50


@dataclass(frozen=True)
class Incoming:
    """A mail that is fetched, parsed, and durable in the raw store under its digest."""

    fetched: FetchedMessage
    reading: ParseResult

    @property
    def uid(self) -> int:
        return self.fetched.meta.uid

    @property
    def parsed(self) -> ParsedMessage:
        return self.reading.parsed

    @property
    def digest(self) -> str:
        return self.reading.digest


def received_at(each: Incoming) -> datetime:
    """The mail's INTERNALDATE; without a valid one the newest Received, else Date, else now."""
    if (stated := each.fetched.meta.internal_date) is not None:
        return stated
    return newest_received(each.fetched.raw) or each.parsed.date or timezone.now()


@dataclass
class StoreDecision:
    """The rows for a batch of mails. pairs: each mail with its row."""

    pairs: list[tuple[Incoming, Message]] = field(default_factory=list)
    new: list[Message] = field(default_factory=list)
    completed: dict[int, tuple[Incoming, Message]] = field(default_factory=dict)  # had only a header, are whole now
    again: list[Message] = field(default_factory=list)  # rows that get a further place, or lose one
    places: dict[int, MessagePlace] = field(default_factory=dict)
    index_texts: dict[int, str] = field(default_factory=dict)  # by id() of the message: new ones have no pk yet
    recipients: list[tuple[Message, str]] = field(default_factory=list)  # rows, and recipients of a further copy

    @property
    def written(self) -> list[Message]:
        """The rows that are new or were completed."""
        return [*self.new, *(message for _, message in self.completed.values())]


@dataclass(frozen=True)
class Stored:
    """The result of a batch: the pks of its messages, new and old."""

    pks: list[int]
    updated: int  # how many of them existed before


def decide(folder: Folder, uidvalidity: int, incoming: Sequence[Incoming]) -> StoreDecision:
    """Find each mail's row among those with its account and Message-ID, or make a new one. Writes nothing.

    A mail that differs from all rows with its Message-ID gets the next variant number.
    """
    decision = StoreDecision()
    there = bulk_insert.known(
        MessagePlace, "uid", [each.uid for each in incoming], folder_id=folder.pk, uidvalidity=uidvalidity
    )
    rows = MessagePlace.objects.filter(folder=folder, uidvalidity=uidvalidity, uid__in=there)
    decision.places = {place.uid: place for place in rows.select_related("message")}
    keys = {each.uid: _message_id(each, decision.places.get(each.uid)) for each in incoming}
    claimants: dict[str, list[Message]] = {}
    claimed = bulk_insert.known(Message, "message_id", set(keys.values()), account_id=folder.account_id)
    known = Message.objects.filter(account_id=folder.account_id, message_id__in=claimed)
    for message in known.defer("body_text", "body_html", "attached_text").order_by("variant"):
        claimants.setdefault(message.message_id, []).append(message)
    identities: dict[int, Identity] = {}
    for each in incoming:
        claiming = claimants.setdefault(keys[each.uid], [])
        found = _same(each, claiming, decision.places.get(each.uid), identities)
        if found is None:
            found = _new_row(folder, each, keys[each.uid], variant=max((m.variant + 1 for m in claiming), default=0))
            claiming.append(found)
            decision.new.append(found)
            decision.index_texts[id(found)] = each.reading.index_text
        else:
            decision.again.append(found)
            if others := other_recipients.only_in(each.parsed, found):
                found.other_recipients = (found.other_recipients or "") + others
                decision.recipients.append((found, others))
            if each.fetched.is_complete and not found.is_complete:
                _fill(found, each)
                decision.completed[id(found)] = (each, found)
                decision.index_texts[id(found)] = each.reading.index_text
        decision.pairs.append((each, found))
    return decision


def _message_id(each: Incoming, place: MessagePlace | None) -> str:
    """The mail's Message-ID. A mail without one has the SHA-256 of its bytes instead.

    If only its header was stored before, it keeps the id made from those bytes. An equal header shows that it is the
    same mail, as the server may have given the UID to another one.
    """
    if place is not None and not place.message.is_complete and place.header_digest == each.reading.header_digest:
        return place.message.message_id
    return each.parsed.message_id


def _same(
    each: Incoming, claiming: list[Message], place: MessagePlace | None, identities: dict[int, Identity]
) -> Message | None:
    """The row of this mail among those with its Message-ID, or None. place: the stored place with its UID, if any."""
    for message in claiming:
        if message.raw_digest == each.digest:
            return message
    if not claiming:
        return None
    ours = _identity(each)
    for message in claiming[:MOST_COMPARED]:
        if id(message) not in identities:
            identities[id(message)] = _stored_identity(message)
        is_same_place = place is not None and place.message_id == message.pk and _is_what_lay_there(each, place)
        if same_mail(ours, identities[id(message)], is_same_place=is_same_place):
            return message
    return None


def _is_what_lay_there(each: Incoming, place: MessagePlace) -> bool:
    """Whether the place still has this mail; the server may have given the UID to another one."""
    return place.header_digest == each.reading.header_digest or place.size == each.fetched.meta.size


def _identity(each: Incoming) -> Identity:
    size = each.fetched.meta.size or len(each.fetched.raw)
    return Identity.of(
        each.parsed, is_complete=each.fetched.is_complete, header_digest=each.reading.header_digest, size=size
    )


def _stored_identity(message: Message) -> Identity:
    """The identity of a stored message, from its raw bytes, since only these tell whether it has a List-ID.

    If they are lost, the identity equals no other. If their file cannot be read on this host now, the row is used
    instead, so that this host does not store a mail again that another host has stored.
    """
    try:
        raw, path = raw_store.map_raw(message.raw_digest)
        reading = parsing_pool.read_one(ParseJob(raw, message.size, message.account_id, connection.vendor, path))
    except raw_store.RawOutOfReach as missing:
        out_of_reach.note(missing.segment)
        return Identity.of_row(message, _header_digest(message))
    except raw_store.RawMissing:
        reading = "lost"
    if not isinstance(reading, ParseResult):
        return Identity(f"lost {message.pk}", "", None, "", "", (), is_complete=False, from_list=False)
    header = reading.header_digest
    return Identity.of(reading.parsed, is_complete=message.is_complete, header_digest=header, size=message.size)


def _header_digest(message: Message) -> str:
    known = MessagePlace.objects.filter(message=message).exclude(header_digest="")
    return known.values_list("header_digest", flat=True).first() or ""


def _new_row(folder: Folder, each: Incoming, message_id: str, variant: int) -> Message:
    message = bulk_insert.blank(Message)
    message.account_id, message.message_id, message.variant = folder.account_id, message_id, variant
    _fill(message, each)
    flags = places.flag_fields(each.fetched.meta.flags)
    message.seen, message.flagged, message.answered = flags["seen"], flags["flagged"], flags["answered"]
    message.received_at = received_at(each)
    return message


def _fill(message: Message, each: Incoming) -> None:
    vars(message).update(zip(PARSED_FIELDS, _parsed_fields(each.parsed), strict=True))
    message.attachments = [dict(vars(attachment)) for attachment in each.parsed.attachments]
    message.has_attachments = any(not attachment.is_inline for attachment in each.parsed.attachments)
    message.parse_defects = [*each.parsed.defects, *each.fetched.defects]
    message.size = each.fetched.meta.size or len(each.fetched.raw)
    message.raw_digest = each.digest
    message.is_complete = each.fetched.is_complete


def write(folder: Folder, uidvalidity: int, decision: StoreDecision, now: datetime) -> Stored:
    """Write the decided rows. Call it in a transaction. Raises the database's errors."""
    for each, message in decision.completed.values():
        if message.pk is not None:
            Attachment.objects.filter(message=message).delete()
            message.save()
            bulk_insert.insert(_attachments(each, message))
    for message, recipients in decision.recipients:
        if message.pk is not None and id(message) not in decision.completed:  # else it is written as a whole
            other_recipients.note(message.pk, recipients)
    bulk_insert.insert(decision.new)
    made = {id(message) for message in decision.new}
    rows: list[Attachment] = []
    for each, message in decision.pairs:
        if id(message) in made and each.digest == message.raw_digest:
            made.discard(id(message))
            rows += _attachments(each, message)
    bulk_insert.insert(rows)
    index_messages(decision.written, decision.index_texts)
    conversations.link(decision.new, {message.pk: each.parsed.thread_index for each, message in decision.pairs})
    _write_places(folder, uidvalidity, decision)
    _relink(folder, uidvalidity, decision, now)
    stored = [each.uid for each, _ in decision.pairs]
    settled = bulk_insert.known(Quarantine, "uid", stored, folder_id=folder.pk, uidvalidity=uidvalidity)
    Quarantine.objects.open().filter(folder=folder, uidvalidity=uidvalidity, uid__in=settled).update(
        resolved_at=now, fetch_requested_at=None
    )
    pks = list(dict.fromkeys(message.pk for _, message in decision.pairs))
    return Stored(pks, updated=len(pks) - len(decision.new))


def _attachments(each: Incoming, message: Message) -> list[Attachment]:
    own = {"message_id": message.pk, "account_id": message.account_id, "received_at": message.received_at}
    return [Attachment(**own, **vars(attachment)) for attachment in each.parsed.attachments]


def _write_places(folder: Folder, uidvalidity: int, decision: StoreDecision) -> None:
    new = []
    for each, message in decision.pairs:
        place = decision.places.get(each.uid)
        fields = _place_fields(each, message)
        if place is None:
            place = bulk_insert.blank(MessagePlace)
            place.folder_id, place.uidvalidity, place.uid = folder.pk, uidvalidity, each.uid
            vars(place).update(fields)
            new.append(place)
            continue
        if place.message_id != message.pk:
            decision.again.append(place.message)
        for name, value in fields.items():
            setattr(place, name, value)
        place.save()
    bulk_insert.insert(new)


def _place_fields(each: Incoming, message: Message) -> dict[str, Any]:
    meta = each.fetched.meta
    return {
        "message_id": message.pk,
        "size": meta.size or len(each.fetched.raw),
        "received_at": received_at(each),
        "raw_digest": each.digest,
        "header_digest": each.reading.header_digest,
        "is_complete": each.fetched.is_complete,
        "fetch_requested_at": None,
        "gone_at": None,
        **places.columns_of(meta.flags_and_labels),
    }


def _relink(folder: Folder, uidvalidity: int, decision: StoreDecision, now: datetime) -> None:
    """Mark places with a former UIDVALIDITY as gone for mails found again, and update the messages' own columns."""
    again = {message.pk for message in decision.again}
    if again:
        former = MessagePlace.objects.present().filter(places.other_uidvalidity(folder, uidvalidity))
        former.filter(message_id__in=again).update(gone_at=now)
        places.aggregate(again, now)
