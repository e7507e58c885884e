"""Which mails belong together: by References and In-Reply-To (RFC 5322, 3.6.4), else by Thread-Index.

A conversation is named by the key of the Message-ID it began with, known or not: two answers to a mail that never came
meet under its key. When it is stored, a mail joins the conversation of the nearest mail it refers to that is here; else
that of a mail with the same Outlook Thread-Index and the same subject (programs write one index into all they send);
else the one its first reference names. When a mail comes after its answers (backfill goes backwards), what waits under
its key moves to where it belongs.

All of this is what senders claim. Nothing but the grouping follows from it, no mail is hidden by it, and one mail never
merges two conversations: it joins one, whatever it refers to. Only the first mail with a Message-ID takes its answers
along, so that a later forgery of it moves nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import BigIntegerField, Count, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from mailbox.db import bulk_insert
from mailbox.mime import message_ids
from mailbox.models import ConversationLink, Message

MAX_REFERENCES = 50  # the first and the last of more: a header of a megabyte is no conversation
MAX_MOVED = 1_000  # links that one mail takes along, so that no transaction grows with a conversation
_HEAD, _TAIL = 2_000, 60_000  # characters of the header that are looked at
_CHUNK = 500  # parameters of one IN (...)
_LINKED_BY = ("account_id", "message_id", "references_header", "in_reply_to", "subject", "received_at")


_USUAL = re.compile(r"(?:<[^<>()\s]++>\s*+)*+")


def has_unusual_ids(message: Message) -> bool:
    """Whether it refers to others in a form that versions before this one did not read."""
    fields = (message.references_header, message.in_reply_to)
    return not all(_USUAL.fullmatch(field[:_HEAD].strip()) for field in fields)


def key_of(message_id: str) -> int:
    """64 bits of the SHA-256 of a Message-ID without its angle brackets, as the databases' signed integer."""
    return _hashed(message_ids.bare(message_id))


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:8], "big", signed=True)


def thread_key_of(thread_index: str, subject: str) -> int | None:
    return _hashed(f"{thread_index} {message_ids.topic(subject)}") if thread_index else None


def references_of(references: str, in_reply_to: str) -> list[str]:
    """The Message-IDs that a mail refers to, without brackets: the root first, the parent last; at most 51."""
    if len(references) > _HEAD + _TAIL:
        references = f"{references[:_HEAD]} {references[-_TAIL:]}"
    found = list(dict.fromkeys(message_ids.read(references)))
    if len(found) > MAX_REFERENCES:
        found = [found[0], *found[1 - MAX_REFERENCES :]]
    parents = message_ids.read(in_reply_to[:_HEAD])
    if parents and parents[0] not in found:
        found.append(parents[0])
    return found


@dataclass(frozen=True)
class ConversationMessage:
    """One mail of a conversation, as its list shows it: received, or (`is_sent`) written here."""

    at: datetime
    sender: str
    subject: str
    text: str  # the beginning of it
    address: str  # of its page
    is_sent: bool = False
    state: str = ""  # of a written one, in a word
    pk: int = 0  # of a received one
    message_id: str = ""  # without its angle brackets


@dataclass(frozen=True)
class _Chain:
    own: int
    referred: tuple[int, ...]  # the root first
    thread: int | None

    @classmethod
    def of(cls, message: Message, thread: int | None = None) -> _Chain:
        own = key_of(message.message_id)
        referred = [_hashed(each) for each in references_of(message.references_header, message.in_reply_to)]
        return cls(own, tuple(key for key in referred if key != own), thread)


def link(messages: Iterable[Message], thread_indexes: Mapping[int, str] | None = None) -> None:
    """Put each stored message of one account into its conversation. Call it in the transaction that stores them.

    `thread_indexes`: by the message's key, what it has of Thread-Index (message_ids.thread_root).
    """
    indexes = thread_indexes or {}
    _link([(message, thread_key_of(indexes.get(message.pk, ""), message.subject)) for message in messages])


def _link(messages: Iterable[tuple[Message, int | None]]) -> None:
    chains = {message.pk: (message, _Chain.of(message, thread)) for message, thread in messages}
    if not chains:
        return
    account_id = next(iter(chains.values()))[0].account_id
    asked = {key for _, chain in chains.values() for key in (chain.own, *chain.referred)}
    known = _known(account_id, asked)
    threads = _known_threads(account_id, {chain.thread for _, chain in chains.values() if chain.thread is not None})
    waiting = _waiting(account_id, {chain.own for _, chain in chains.values()})
    rows: dict[int, ConversationLink] = {}
    for message, chain in chains.values():
        conversation = _conversation(chain, known, threads)
        if conversation != chain.own and chain.own not in known:
            known |= {key: conversation for key, its in known.items() if its == chain.own}
            threads |= {key: conversation for key, its in threads.items() if its == chain.own}
            for row in rows.values():
                row.conversation = conversation if row.conversation == chain.own else row.conversation
            if chain.own in waiting:
                _move(account_id, chain.own, conversation)
        known.setdefault(chain.own, conversation)
        if chain.thread is not None:
            threads.setdefault(chain.thread, conversation)
        row = rows[message.pk] = bulk_insert.blank(ConversationLink)
        row.message_id, row.account_id, row.conversation = message.pk, account_id, conversation
        row.id_key, row.thread_key, row.received_at = chain.own, chain.thread, message.received_at
    bulk_insert.insert_missing(list(rows.values()))


def _conversation(chain: _Chain, known: dict[int, int], threads: dict[int, int]) -> int:
    for key in reversed(chain.referred):
        if key in known:
            return known[key]
    if chain.thread in threads:
        return threads[chain.thread]
    return chain.referred[0] if chain.referred else chain.own


def _known(account_id: int, keys: set[int]) -> dict[int, int]:
    """Message-ID key -> conversation, of what is here. The first mail of an ID speaks for it."""
    found: dict[int, int] = {}
    for part in _parts(bulk_insert.known(ConversationLink, "id_key", keys, account_id=account_id)):
        rows = ConversationLink.objects.filter(account=account_id, id_key__in=part).order_by("-message_id")
        found.update(rows.values_list("id_key", "conversation"))
    return found


def _known_threads(account_id: int, keys: set[int]) -> dict[int, int]:
    """Thread key -> conversation, likewise."""
    found: dict[int, int] = {}
    for part in _parts(keys):
        rows = ConversationLink.objects.filter(account=account_id, thread_key__in=part).order_by("-message_id")
        found.update({key: its for key, its in rows.values_list("thread_key", "conversation") if key is not None})
    return found


def _waiting(account_id: int, keys: set[int]) -> set[int]:
    """Which of these mails others have referred to before they came."""
    return bulk_insert.known(ConversationLink, "conversation", keys, account_id=account_id)


def _parts(keys: set[int]) -> list[list[int]]:
    ordered = sorted(keys)
    return [ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK)]


def _move(account_id: int, former: int, conversation: int) -> None:
    rows = ConversationLink.objects.filter(account=account_id, conversation=former)
    moved = list(rows.order_by("-received_at").values_list("pk", flat=True)[:MAX_MOVED])
    for start in range(0, len(moved), _CHUNK):
        ConversationLink.objects.filter(pk__in=moved[start : start + _CHUNK]).update(conversation=conversation)


_PLACE = ("pk", "conversation", "thread_key")


def relink(messages: Iterable[Message], thread_indexes: Mapping[int, str]) -> int:
    """Link mails anew whose references are read otherwise now. Call it in the transaction that writes those.

    Returns how many have another key of their conversation than before.

    The mails of their conversations that refer to them, or to what refers to them, come along: at most MAX_MOVED.
    """
    by_account: dict[int, list[Message]] = {}
    for message in messages:
        by_account.setdefault(message.account_id, []).append(message)
    elsewhere = 0
    for account_id, own in by_account.items():
        moved: dict[int, Message] = {}
        referring = _referring(account_id, own)
        threads = {each.pk: thread_key_of(thread_indexes.get(each.pk, ""), each.subject) for each in own}
        while own:
            message = own.pop()
            if message.pk not in moved:
                moved[message.pk] = message
                own += referring.get(key_of(message.message_id), ())
        links = ConversationLink.objects.filter(pk__in=list(moved))
        former = {pk: (conversation, thread) for pk, conversation, thread in links.values_list(*_PLACE)}
        threads = {pk: thread for pk, (_, thread) in former.items()} | threads
        links.delete()
        _link([(message, threads.get(pk)) for pk, message in moved.items()])
        elsewhere += sum(former.get(pk, (None,))[0] != now for pk, now, _ in links.values_list(*_PLACE))
    return elsewhere


def linked_otherwise(thread_indexes: Mapping[int, str], messages: Iterable[Message]) -> set[int]:
    """Which of these would be linked by another Message-ID or Thread-Index now than they are."""
    rows = {message.pk: message for message in messages}
    links = ConversationLink.objects.filter(pk__in=list(rows)).values_list("pk", "id_key", "thread_key")
    return {
        pk
        for pk, *keys in links
        if keys != [key_of(rows[pk].message_id), thread_key_of(thread_indexes.get(pk, ""), rows[pk].subject)]
    }


def _referring(account_id: int, messages: Sequence[Message]) -> dict[int, list[Message]]:
    """Message-ID key -> the mails that refer to it, of the conversations of these."""
    links = ConversationLink.objects.filter(pk__in=[message.pk for message in messages])
    rows = Message.objects.filter(
        account=account_id, link__account=account_id, link__conversation__in=links.values("conversation")
    )
    found: dict[int, list[Message]] = {}
    for row in rows.exclude(pk__in=[message.pk for message in messages]).only(*_LINKED_BY).order_by("pk")[:MAX_MOVED]:
        for key in _Chain.of(row).referred:
            found.setdefault(key, []).append(row)
    return found


def link_missing(limit: int) -> int:
    """Link up to `limit` messages that were stored before there were conversations; return how many were."""
    done = 0
    while done < limit:
        rows = Message.objects.filter(link=None).only(*_LINKED_BY).order_by("pk")[: min(_CHUNK, limit - done)]
        with transaction.atomic():
            by_account: dict[int, list[Message]] = {}
            for message in rows:
                by_account.setdefault(message.account_id, []).append(message)
            for messages in by_account.values():
                link(messages)
        linked = sum(len(messages) for messages in by_account.values())
        done += linked
        if linked < _CHUNK:
            break
    return done


def members(message: Message) -> QuerySet[Message]:
    """The visible mails of the message's conversation, itself among them, newest first."""
    own = ConversationLink.objects.filter(message=message.pk).values("conversation")[:1]
    rows = Message.objects.visible().filter(
        account=message.account_id, link__account=message.account_id, link__conversation=Subquery(own)
    )
    return rows.order_by("-link__received_at", "-link__message_id")


def newest_of_each(rows: QuerySet[Message], folder_id: int | None = None) -> QuerySet[Message]:
    """Of these messages those than which their conversation has no newer visible one (that lies in the folder).

    Asked for each row: give it a page's rows by key. Of a whole table PostgreSQL would ask it of every row.
    """
    newest = ConversationLink.objects.filter(message__gone_at=None).order_by("-received_at", "-message_id")
    newest = newest.filter(conversation=OuterRef("link__conversation"), account=OuterRef("account"))
    if folder_id is not None:
        newest = newest.filter(message__places__folder=folder_id, message__places__gone_at=None)
    # A mail without a link stands for itself.
    found = Coalesce(Subquery(newest.values("message_id")[:1]), F("pk"), output_field=BigIntegerField())
    return rows.annotate(newest=found).filter(newest=F("pk"))


def with_sizes(rows: QuerySet[Message]) -> QuerySet[Message]:
    """The rows with `conversation_size`: how many visible mails the conversation of each has. For a page's rows."""
    same = ConversationLink.objects.filter(
        account=OuterRef("account"), conversation=OuterRef("link__conversation"), message__gone_at=None
    )
    counted = same.order_by().values("conversation").annotate(number=Count("pk")).values("number")
    return rows.annotate(conversation_size=Coalesce(Subquery(counted), 1))
