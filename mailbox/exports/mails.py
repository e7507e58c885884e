"""The mails of an export, page by page: the interface of their sources, and received mail as one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from mailbox.exports.manifest import Line, line
from mailbox.models import Message, MessagePlace

PAGE = 200  # mails a page; a piece of the file has at most one page
Cursor = Any  # a position in a source, as a JSON value


@dataclass(frozen=True)
class ExportedMail:
    """One mail of an export. `digest`, `size`: of its raw bytes. `lines`: its manifest lines, without the position in
    the file, which is added when the mail is written."""

    name: str  # of its file in a zip
    digest: str
    size: int
    sender: str
    at: datetime
    account: int
    lines: list[Line] = field(default_factory=list)


class MailSource(Protocol):
    """The mails that an export writes, in pages that can be asked for again by their cursor."""

    def count(self) -> int:
        """How many mails there are."""

    def page(self, after: Cursor) -> tuple[list[ExportedMail], list[Cursor]]:
        """The mails after the cursor (None: from the beginning), and for each of them the cursor after it.

        ([], [cursor]): this page has no mail to export, go on from that cursor. ([], []): the end.
        """

    def files(self) -> Sequence[tuple[str, bytes]]:
        """(name, content) of further files for a zip, beside the mails and the manifest."""


def of_messages(rows: Sequence[Message]) -> list[ExportedMail]:
    """Received messages with their places, which are read by one query for all."""
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
