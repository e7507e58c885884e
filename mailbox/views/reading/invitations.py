"""The invitations in a message (iCalendar), for its page."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet

from mailbox.mime import message as mime_message
from mailbox.mime.files import icalendar
from mailbox.models import Attachment, Message
from mailbox.storage import out_of_reach, raw_store
from mailbox.views.reading.invitation_words import InvitationWords, words_of


def events_of(row: Message, attachments: Sequence[Attachment] | QuerySet[Attachment]) -> list[InvitationWords]:
    """The events of the first calendar part. Opens the raw message only if there is such a part."""
    if isinstance(attachments, QuerySet):
        attachments = attachments.filter(content_type__in=icalendar.TYPES).order_by("position")[:10]
    for each in attachments:
        if each.content_type in icalendar.TYPES and each.size <= icalendar.MAX_BYTES:
            try:
                raw = raw_store.map_raw(row.raw_digest)[0]
                content = mime_message.attachment_bytes(raw, each.position, each.digest)
                return [words_of(event) for event in icalendar.read(content)]
            except raw_store.RawOutOfReach as missing:
                out_of_reach.note(missing.segment)
                return []
            except (raw_store.RawMissing, IndexError):
                return []
    return []
