"""The invitations in a message (iCalendar), for its page."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet

from mailbox.mime import message as mime_message
from mailbox.mime.files import icalendar
from mailbox.mime.files.icalendar import Event
from mailbox.models import Attachment, Message
from mailbox.storage import out_of_reach, raw_store


def events_of(row: Message, attachments: Sequence[Attachment] | QuerySet[Attachment]) -> list[Event]:
    """The events of the first calendar part. Opens the raw message only if there is such a part."""
    if isinstance(attachments, QuerySet):
        attachments = attachments.filter(content_type__in=icalendar.TYPES).order_by("position")[:10]
    for each in attachments:
        if each.content_type in icalendar.TYPES and each.size <= icalendar.MAX_BYTES:
            try:
                raw = raw_store.map_raw(row.raw_digest)[0]
                return icalendar.read(mime_message.attachment_bytes(raw, each.position, each.digest))
            except raw_store.RawOutOfReach as missing:
                out_of_reach.note(missing.segment)
                return []
            except (raw_store.RawMissing, IndexError):
                return []
    return []
