"""Attachments that a new mail takes over from a written mail, a received mail that is forwarded, or a draft."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.utils.translation import gettext

from mailbox.mime import message as mime_message
from mailbox.models import Message
from mailbox.storage import out_of_reach, raw_store
from outbox.compose import attachments
from outbox.compose.attachments import AttachmentInput
from outbox.compose.create import attachment_bytes
from outbox.compose.formatted_text import PICTURE_TYPES, id_of
from outbox.errors import ValidationFailed
from outbox.models import AttachmentPolicy, Draft, OutboxMessage

WHOLE_TYPE = "message/rfc822"
_SHOWN = attachments.MAX_ATTACHMENTS


@dataclass(frozen=True)
class CarriedAttachment:
    """A file offered in the form of a new mail.

    key: its value in the form. refusal: why the attachment policy does not allow it, or "". read: returns the file;
    raises ValidationFailed.
    """

    key: str
    filename: str
    size: int
    read: Callable[[], AttachmentInput]
    picture: str = ""  # its content id, if it is a picture that the text may show
    refusal: str = ""
    is_chosen: bool = True
    is_inline: bool = False  # a picture in the text; if the policy does not allow it, the page only says so


def of_written(source: OutboxMessage) -> list[CarriedAttachment]:
    """The attachments of a written mail, in its order; their bytes are read when they are needed."""
    return [
        CarriedAttachment(
            str(file.position),
            file.filename,
            file.size,
            _reader(file.filename, file.content_type, lambda file=file: attachment_bytes(file)),  # type: ignore[misc]
            picture_id(file.content_type, file.digest),
        )
        for file in source.attachment_rows.order_by("position")
    ]


def of_received(source: Message, current: AttachmentPolicy) -> list[CarriedAttachment]:
    """The attachments of a received mail that were not removed, and the mail itself as an .eml file.

    Attachments that the policy does not allow are listed with their `refusal`; a refused .eml file is left out.
    """
    raw = source.raw_digest
    there = source.attachment_rows.filter(removed_at=None).order_by("is_inline", "position")
    rows = there.values_list("position", "filename", "content_type", "size", "is_inline", "digest")[:_SHOWN]
    files = [
        CarriedAttachment(
            str(position),
            filename,
            size,
            _reader(filename, kind, partial(_received_bytes, raw, position, digest)),
            picture_id(kind, digest),
            _refusal(kind, size, current),
            is_inline=is_inline,
        )
        for position, filename, kind, size, is_inline, digest in rows
    ]
    name = (
        f"{''.join(char for char in source.subject if char.isalnum() or char in ' -_').strip()[:80] or 'message'}.eml"
    )
    whole = _reader(name, WHOLE_TYPE, lambda: raw_store.open_raw(raw))
    refusal = _refusal(WHOLE_TYPE, source.size, current)
    return files if refusal else [*files, CarriedAttachment("whole", name, source.size, whole, is_chosen=False)]


def of_draft(draft: Draft, current: AttachmentPolicy) -> list[CarriedAttachment]:
    """The files of a draft. The policy may have changed since: files that it refuses now have their `refusal`."""
    return [
        CarriedAttachment(
            file.form_key,
            file.filename,
            file.size,
            _reader(file.filename, file.content_type, lambda at=file.raw_digest: raw_store.open_raw(at)),  # type: ignore[misc]
            picture_id(file.content_type, file.raw_digest),
            _refusal(file.content_type, file.size, current),
        )
        for file in draft.files.all()
    ]


def picture_id(content_type: str, digest: str) -> str:
    """The content id of a file that the text of a mail may show; "" if it is no such picture."""
    return id_of(digest) if content_type in PICTURE_TYPES else ""


def _received_bytes(raw_digest: str, position: int, digest: str) -> bytes:
    return mime_message.attachment_bytes(raw_store.map_raw(raw_digest)[0], position, digest)


def _refusal(content_type: str, size: int, current: AttachmentPolicy) -> str:
    if size > current.max_size_bytes:
        return attachments.TOO_LARGE
    try:
        attachments.checked_type(content_type, current)
    except ValidationFailed as refused:
        return gettext(str(refused))
    return ""


def _reader(filename: str, content_type: str, content: Callable[[], bytes]) -> Callable[[], AttachmentInput]:
    def read() -> AttachmentInput:
        try:
            return AttachmentInput(filename=filename, content_type=content_type, content=content())
        except raw_store.RawOutOfReach as error:
            out_of_reach.note(error.segment)
            raise ValidationFailed(
                gettext("%(filename)s is out of reach on this host: try again later, or attach it again.")
                % {"filename": filename}
            ) from error
        except (raw_store.RawMissing, IndexError) as error:
            raise ValidationFailed(
                gettext("%(filename)s is no longer stored here: attach it again.") % {"filename": filename}
            ) from error

    return read
