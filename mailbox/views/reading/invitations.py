"""The invitations in a message (iCalendar), for its page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from django.db.models import Q, QuerySet

from mailbox.mime import message as mime_message
from mailbox.mime.files import icalendar
from mailbox.models import Attachment, Message
from mailbox.storage import out_of_reach, raw_store
from mailbox.views.reading.invitation_words import InvitationWords, words_of

_EXTENSION = ".ics"  # some programs call the file application/octet-stream
_MOST_READ = 3  # each costs another parse of the message


def events_of(row: Message, attachments: Sequence[Attachment] | QuerySet[Attachment]) -> list[InvitationWords]:
    """The events of the first calendar part that has some. Opens the raw message only if there is a calendar part."""
    if isinstance(attachments, QuerySet):
        are_calendars = Q(content_type__in=icalendar.TYPES) | Q(filename__iendswith=_EXTENSION)
        attachments = attachments.filter(are_calendars).order_by("position")[:10]
    for each in islice(filter(_may_be_read, attachments), _MOST_READ):
        try:
            raw = raw_store.map_raw(row.raw_digest)[0]
            content = mime_message.attachment_bytes(raw, each.position, each.digest)
        except raw_store.RawOutOfReach as missing:
            out_of_reach.note(missing.segment)
            return []
        except (raw_store.RawMissing, IndexError):
            return []
        if events := icalendar.read(content):
            return [words_of(event) for event in events]
    return []


def _may_be_read(each: Attachment) -> bool:
    is_calendar = each.content_type in icalendar.TYPES or each.filename.lower().endswith(_EXTENSION)
    return is_calendar and each.size <= icalendar.MAX_BYTES
