"""What an export is made of: mails page by page, wherever they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from mailbox.exports.manifest import Line, line
from mailbox.models import Message, MessagePlace

PAGE = 200  # mails a page: a piece is at most one
Cursor = Any  # what JSON can keep


@dataclass(frozen=True)
class ExportedMail:
    """`lines`: of the manifest, without where it lies in the file."""

    name: str  # in a zip
    digest: str
    size: int
    sender: str
    at: datetime
    account: int
    lines: list[Line] = field(default_factory=list)


class MailSource(Protocol):
    def count(self) -> int:
        """How many mails there are."""

    def page(self, after: Cursor) -> tuple[list[ExportedMail], list[Cursor]]:
        """The next mails behind the cursor (None: the first ones), and the cursor behind each of them. No mails, and
        one cursor: nothing is among what was looked at, more may come. Neither: the end."""

    def files(self) -> Sequence[tuple[str, bytes]]:
        """What stands in a zip beside mails and manifest."""


def of_messages(rows: Sequence[Message]) -> list[ExportedMail]:
    """Received mail with its places, by one query for all."""
    places: dict[int, list[MessagePlace]] = {row.pk: [] for row in rows}
    for place in MessagePlace.objects.present().filter(message__in=places).select_related("folder").order_by("pk"):
        places[place.message_id].append(place)
    return [_of_message(row, places[row.pk]) for row in rows]


def _of_message(row: Message, places: Sequence[MessagePlace]) -> ExportedMail:
    said = {"account": row.account.email, "message_id": row.message_id, "sha256": row.raw_digest, "size": row.size}
    said |= {"complete": row.is_complete, "internal_date": row.received_at.isoformat()}
    lines = [
        line(**said | {"folder": each.folder.name, "uidvalidity": each.uidvalidity, "uid": each.uid}) for each in places
    ]
    name, sender = f"mails/{row.pk}.eml", row.sender_address
    return ExportedMail(
        name, row.raw_digest, row.size, sender, row.received_at, row.account_id, lines or [line(**said)]
    )
