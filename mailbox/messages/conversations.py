"""Groups mails into conversations by References and In-Reply-To (RFC 5322, 3.6.4), else by Outlook's Thread-Index.

A conversation is named by the key of the Message-ID with which it began, whether that mail is stored or not, so that
two replies to a mail that never came share a conversation. A mail, when it is stored, joins

1. the conversation of the nearest mail to which it refers and which is stored;
2. else that of a mail with the same Thread-Index and the same subject (some programs write one index into all mails);
3. else the one named by its first reference, or by itself.

If a mail is stored after its replies (backfill goes from new to old), the replies in the conversation named by its key
move to the conversation that the mail joins.

All these fields are claims of senders. They only affect the grouping: no mail is hidden by them, and a mail never
merges two conversations, whatever it refers to. Only the first mail with a Message-ID moves its replies, so that a
later forgery moves nothing.
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

from mailbox.chunks import chunks
from mailbox.db import bulk_insert
from mailbox.mime import message_ids
from mailbox.models import ConversationLink, Message

MAX_REFERENCES = 50  # of more, the first and the last ones are kept
MAX_MOVED = 1_000  # links that one mail may move, so that the size of a transaction is bounded
_HEAD, _TAIL = 2_000, 60_000  # characters that are read at the begin and the end of References
_CHUNK = 500  # parameters of one IN (...)
_LINKED_BY = ("account_id", "message_id", "references_header", "in_reply_to", "subject", "received_at")


_USUAL = re.compile(r"(?:<[^<>()\s]++>\s*+|(?!))*+")


def has_unusual_ids(message: Message) -> bool:
    """Whether its references are in a form that earlier versions of this program did not read."""
    fields = (message.references_header, message.in_reply_to)
    return not all(_USUAL.fullmatch(field[:_HEAD].strip()) for field in fields)


def key_of(message_id: str) -> int:
    """The first 64 bits of the SHA-256 of a Message-ID without angle brackets, as a signed integer for BIGINT."""
    return _hashed(message_ids.bare(message_id))


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:8], "big", signed=True)


def thread_key_of(thread_index: str, subject: str) -> int | None:
    """The key by which mails of one Thread-Index and one topic (the bare subject) meet; None without a Thread-Index."""
    return _hashed(f"{thread_index} {message_ids.topic(subject)}") if thread_index else None


def references_of(references: str, in_reply_to: str) -> list[str]:
    """The Message-IDs to which a mail refers, without brackets: the root first, the parent last; at most 51."""
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
    """One mail in the displayed list of a conversation: received, or (is_sent) written here."""

    at: datetime
    sender: str
    subject: str
    text: str  # its beginning
    address: str  # URL of its page
    is_sent: bool = False
    state: str = ""  # for display; only of a written mail
    pk: int = 0  # only of a received mail
    outbox_pk: int = 0  # only of a written mail
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
    """Put messages of one account into conversations. Call it in the transaction that stores them.

    thread_indexes: message pk -> result of message_ids.thread_root for its Thread-Index.
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
    """Message-ID key -> conversation, for stored mails. Of several with one Message-ID the first counts."""
    found: dict[int, int] = {}
    for part in chunks(sorted(bulk_insert.known(ConversationLink, "id_key", keys, account_id=account_id)), _CHUNK):
        rows = ConversationLink.objects.filter(account=account_id, id_key__in=part).order_by("-message_id")
        found.update(rows.values_list("id_key", "conversation"))
    return found


def _known_threads(account_id: int, keys: set[int]) -> dict[int, int]:
    """Thread key -> conversation, for stored mails. Of several with one key the first counts."""
    found: dict[int, int] = {}
    for part in chunks(sorted(keys), _CHUNK):
        rows = ConversationLink.objects.filter(account=account_id, thread_key__in=part).order_by("-message_id")
        found.update({key: its for key, its in rows.values_list("thread_key", "conversation") if key is not None})
    return found


def _waiting(account_id: int, keys: set[int]) -> set[int]:
    """Those of these keys that name a conversation, as mails that refer to them were stored before."""
    return bulk_insert.known(ConversationLink, "conversation", keys, account_id=account_id)


def _move(account_id: int, former: int, conversation: int) -> None:
    rows = ConversationLink.objects.filter(account=account_id, conversation=former)
    moved = list(rows.order_by("-received_at").values_list("pk", flat=True)[:MAX_MOVED])
    for some in chunks(moved, _CHUNK):
        ConversationLink.objects.filter(pk__in=some).update(conversation=conversation)


_PLACE = ("pk", "conversation", "thread_key")


def relink(messages: Iterable[Message], thread_indexes: Mapping[int, str]) -> int:
    """Link mails again whose references are now read differently. Call it in the transaction that writes these.

    Also links mails of the same conversations again that refer to them, directly or not, at most MAX_MOVED of an
    account. Returns how many mails are in another conversation than before.
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
    """The pks of messages whose link was made with another Message-ID key or thread key than they have now."""
    rows = {message.pk: message for message in messages}
    links = ConversationLink.objects.filter(pk__in=list(rows)).values_list("pk", "id_key", "thread_key")
    return {
        pk
        for pk, *keys in links
        if keys != [key_of(rows[pk].message_id), thread_key_of(thread_indexes.get(pk, ""), rows[pk].subject)]
    }


def _referring(account_id: int, messages: Sequence[Message]) -> dict[int, list[Message]]:
    """Message-ID key -> mails that refer to it, from the conversations of these messages."""
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
    """Link up to `limit` messages that were stored before conversations existed. Returns how many."""
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
    """The visible mails of the message's conversation, including itself, newest first."""
    own = ConversationLink.objects.filter(message=message.pk).values("conversation")[:1]
    rows = Message.objects.visible().filter(
        account=message.account_id, link__account=message.account_id, link__conversation=Subquery(own)
    )
    return rows.order_by("-link__received_at", "-link__message_id")


def newest_of_each(rows: QuerySet[Message], folder_id: int | None = None) -> QuerySet[Message]:
    """Filter `rows` to the newest visible message of each conversation, or the newest in the folder.

    The subquery runs for each row, on PostgreSQL for all rows of `rows`: so pass the rows of one page by key, never a
    whole table.
    """
    newest = ConversationLink.objects.filter(message__gone_at=None).order_by("-received_at", "-message_id")
    newest = newest.filter(conversation=OuterRef("link__conversation"), account=OuterRef("account"))
    if folder_id is not None:
        newest = newest.filter(message__places__folder=folder_id, message__places__gone_at=None)
    # A mail without a link is a conversation of its own.
    found = Coalesce(Subquery(newest.values("message_id")[:1]), F("pk"), output_field=BigIntegerField())
    return rows.annotate(newest=found).filter(newest=F("pk"))


def with_sizes(rows: QuerySet[Message]) -> QuerySet[Message]:
    """Annotate `conversation_size`: the number of visible mails in each row's conversation. For the rows of a page."""
    same = ConversationLink.objects.filter(
        account=OuterRef("account"), conversation=OuterRef("link__conversation"), message__gone_at=None
    )
    counted = same.order_by().values("conversation").annotate(number=Count("pk")).values("number")
    return rows.annotate(conversation_size=Coalesce(Subquery(counted), 1))
