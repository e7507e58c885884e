"""Updates places (folder and UID) with their flags, and the message's own columns that follow from all its places.

A message is seen if it is seen at every place, flagged or answered if it is at any, and gone if it has no place left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db.models import Q

from mailbox.chunks import chunks
from mailbox.imap.fetch import FlagsAndLabels, MessageMeta
from mailbox.models import Attachment, Folder, LetGo, Message, MessagePlace
from mailbox.models.messages import MessagePlaceQuerySet
from mailbox.search.index import index_messages

SYSTEM_FLAGS = {"\\Seen": "seen", "\\Answered": "answered", "\\Flagged": "flagged", "\\Draft": "draft"}
SYSTEM_FLAGS["\\Deleted"] = "deleted"
IGNORED_FLAGS = ("\\recent",)  # belongs to the IMAP session, not to the message (RFC 3501, 2.3.2)
CHUNK = 500  # rows in one statement or transaction
FLAG_FIELDS = [*SYSTEM_FLAGS.values(), "keywords", "labels"]


def flag_fields(flags: Sequence[str]) -> dict[str, Any]:
    """The columns of MessagePlace for these IMAP flags. Flags are case-insensitive (RFC 9051, 2.3.2)."""
    fields, keywords = _flag_fields(tuple(flags))
    return fields | {"keywords": list(keywords)}


@lru_cache(1000)  # few different combinations occur
def _flag_fields(flags: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
    given = {flag.lower(): flag for flag in flags if flag.lower() not in IGNORED_FLAGS}
    fields: dict[str, Any] = {name: given.pop(flag.lower(), None) is not None for flag, name in SYSTEM_FLAGS.items()}
    return fields, tuple(sorted(given.values()))


def columns_of(flags: FlagsAndLabels) -> dict[str, Any]:
    """The columns of MessagePlace for these flags, and for Gmail's labels if the server has them."""
    fields = flag_fields(flags.flags)
    return fields if flags.labels is None else fields | {"labels": list(flags.labels)}


def agrees(place: MessagePlace | LetGo, meta: MessageMeta) -> bool:
    """Whether size and INTERNALDATE agree; a value that the server does not state agrees with any."""
    same_size = not meta.size or meta.size == place.size
    return same_size and (meta.internal_date is None or meta.internal_date == place.received_at)


def other_uidvalidity(folder: Folder, uidvalidity: int) -> Q:
    """Condition for places with another UIDVALIDITY. Two ranges instead of !=, as these use the index."""
    return Q(folder=folder, uidvalidity__lt=uidvalidity) | Q(folder=folder, uidvalidity__gt=uidvalidity)


def aggregate(pks: Iterable[int], now: datetime) -> None:
    """Update the columns of these messages that follow from their present places, and index and attachments with them.

    Messages without a present place get `gone_at`.
    """
    lying: dict[int, list[dict[str, Any]]] = {pk: [] for pk in pks}
    columns = ("message_id", "seen", "flagged", "answered", "received_at")
    for place in MessagePlace.objects.present().filter(message_id__in=lying).values(*columns):
        lying[place["message_id"]].append(place)
    changed: list[Message] = []
    moved: list[int] = []
    columns = ("seen", "flagged", "answered", "received_at", "gone_at")
    for message in Message.objects.filter(pk__in=lying).only(*columns):
        fields = _of_places(lying[message.pk]) or {"gone_at": message.gone_at or now}
        if any(getattr(message, name) != value for name, value in fields.items()):
            if fields.get("received_at", message.received_at) != message.received_at:
                moved.append(message.pk)
            for name, value in fields.items():
                setattr(message, name, value)
            message.updated_at = now
            changed.append(message)
    Message.objects.bulk_update(changed, [*columns, "updated_at"], batch_size=100)
    # The search index and the list of attachments are ordered by received_at.
    index_messages(list(Message.objects.filter(pk__in=moved)))
    for message in changed:
        if message.pk in moved:
            Attachment.objects.filter(message=message).update(received_at=message.received_at)


def _of_places(places: list[dict[str, Any]]) -> dict[str, Any]:
    if not places:
        return {}
    return {
        "seen": all(place["seen"] for place in places),
        "flagged": any(place["flagged"] for place in places),
        "answered": any(place["answered"] for place in places),
        "received_at": min(place["received_at"] for place in places),
        "gone_at": None,
    }


def recent_uids(folder: Folder, uidvalidity: int, count: int | None) -> list[int]:
    """The `count` highest stored UIDs of the folder (None: all), in ascending order."""
    rows = MessagePlace.objects.present().filter(folder=folder, uidvalidity=uidvalidity).order_by("-uid")
    return sorted(rows.values_list("uid", flat=True)[:count])


def differing(folder: Folder, uidvalidity: int, flags: Mapping[int, FlagsAndLabels]) -> list[MessagePlace]:
    """The places whose stored flags or labels differ from the server's. flags: by UID."""
    rows = MessagePlace.objects.filter(folder=folder, uidvalidity=uidvalidity, uid__in=list(flags))
    return [
        place
        for place in rows
        if any(getattr(place, name) != value for name, value in columns_of(flags[place.uid]).items())
    ]


def store_flags(changes: Sequence[MessagePlace], flags: Mapping[int, FlagsAndLabels], now: datetime) -> int:
    """Write flags and labels, given by UID, to these places. Returns their number. Call it in a transaction."""
    for place in changes:
        for name, value in columns_of(flags[place.uid]).items():
            setattr(place, name, value)
    MessagePlace.objects.bulk_update(changes, FLAG_FIELDS, batch_size=100)
    aggregate({place.message_id for place in changes}, now)
    return len(changes)


def drop(places: Q, now: datetime) -> int:
    """Mark the places that match as gone, and messages without another place. Returns how many places.

    Call it in a transaction.
    """
    rows = MessagePlace.objects.present().filter(places)
    pks = set(rows.values_list("message_id", flat=True))
    if not pks:
        return 0
    gone = rows.update(gone_at=now)
    for some in chunks(sorted(pks), CHUNK):
        aggregate(some, now)
    return gone


def drop_in_parts(rows: MessagePlaceQuerySet, now: datetime, begin: Callable[[], AbstractContextManager[None]]) -> None:
    """drop() for many places that are present, some in each transaction. begin: begins one."""
    while pks := list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        with begin():
            drop(Q(pk__in=pks), now)
