"""The invitations of a message, as its page tells them."""

from __future__ import annotations

from collections.abc import Sequence

from mailbox import mime, mime_calendar, rawstore
from mailbox.mime_calendar import Event
from mailbox.models import Attachment, Message


def events_of(row: Message, attachments: Sequence[Attachment]) -> list[Event]:
    """What its first calendar part says; the raw bytes are opened only for that."""
    for each in attachments:
        if each.content_type in mime_calendar.TYPES and each.size <= mime_calendar.MAX_BYTES:
            try:
                raw = rawstore.map_raw(row.raw_digest)[0]
                return mime_calendar.read(mime.attachment_bytes(raw, each.position))
            except (rawstore.RawMissing, IndexError):
                return []
    return []
