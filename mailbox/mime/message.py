"""Parses a raw message into a ParsedMessage, and decodes its attachments. Pure.

The parts come from `tree` and not from mail-parser, which decodes attachments lossily, names them at random and leaves
out message/rfc822.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mailbox.mime import (
    attachment_digest,
    charsets,
    filenames,
    message_ids,
    part_text,
    readable_text,
    transfer_encoding,
)
from mailbox.mime import tree as mime_tree
from mailbox.mime.body_parts import Layout, content_id_of, described_filename, disposition, layout_of, stated_filename
from mailbox.mime.files.containers import opened
from mailbox.mime.header_fields import MAX_LINE_CHARACTERS, Fields
from mailbox.mime.tree import Part

PARSER_VERSION = 17  # raise it when a change gives other rows for the same bytes, so that messages can be reparsed

MAX_BODY_CHARACTERS = part_text.MAX_CHARACTERS  # of each body in the tables; the raw message has the rest
MAX_MESSAGE_ID_BYTES = 998  # RFC 5322 section 2.1.1, and the column's length
MAX_ATTACHED_CHARACTERS = 200_000  # of the text of attached messages, which is kept for search
MESSAGE_TYPES = ("message/rfc822", "message/global")  # RFC 2046 section 5.2.1, RFC 6532
_SEARCHED_TYPES = (*MESSAGE_TYPES, "message/partial", "message/news")
_MAX_ATTACHED_MESSAGES = 20
_MAX_ATTACHED_DEPTH = 3
_MAX_ATTACHED_BYTES = 4_000_000
_IMAGE_MARKS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")  # RFC 6838 section 4.2


@dataclass(frozen=True)
class ParsedAttachment:
    """A part that is not the displayed body. `size` and `digest` (SHA-256, hex) are of its decoded bytes."""

    position: int  # its index, for attachment_bytes()
    filename: str
    content_type: str
    size: int
    content_id: str  # without angle brackets, "" when there is none
    is_inline: bool  # an image that the HTML body can display by its content id
    digest: str


@dataclass(frozen=True)
class ParsedMessage:
    """The fields of a message that are stored in the tables. Text is storable in any database; "" for an absent
    header."""

    message_id: str
    subject: str
    sender: str
    sender_address: str
    recipients: str
    cc: str
    bcc: str
    reply_to: str
    in_reply_to: str
    references_header: str
    thread_index: str  # the part of Outlook's Thread-Index that a conversation shares: message_ids.thread_root
    date: datetime | None
    body_text: str
    body_html: str
    attached_text: str  # of attached messages (message/rfc822); for search, not displayed
    snippet: str
    attachments: tuple[ParsedAttachment, ...]
    defects: tuple[str, ...]
    list_id: str


@charsets.detecting_seldom()
def parse(raw: bytes) -> ParsedMessage:
    """Parse a message, whole or its header alone. Never raises, whatever the bytes; damage is listed in `defects`."""
    return _parsed(raw, depth=0)


def _parsed(raw: bytes, depth: int) -> ParsedMessage:
    root = mime_tree.read_tree(raw)
    layout = opened(layout_of(root))
    defects: list[str] = []
    body_text, body_html = _bodies(raw, layout, defects)
    attachments = tuple(_described(part, position, defects) for position, part in enumerate(layout.attachments))
    fields = Fields(root, defects, layout.charset)
    sender, sender_address = fields.sender()
    return ParsedMessage(
        message_id=_message_id(fields, raw),
        subject=fields.line("subject")[:MAX_LINE_CHARACTERS],
        sender=sender,
        sender_address=sender_address,
        recipients=fields.shown("to"),
        cc=fields.shown("cc"),
        bcc=fields.shown("bcc"),
        reply_to=fields.shown("reply-to"),
        in_reply_to=fields.line("in-reply-to"),
        references_header=" ".join(fields.line("references").split()),
        thread_index=message_ids.thread_root(fields.line("thread-index")),
        date=fields.date(),
        body_text=body_text,
        body_html=body_html,
        attached_text=_attached_text(layout, depth),
        snippet=readable_text.snippet(body_text, body_html),
        attachments=attachments,
        defects=tuple(dict.fromkeys((*mime_tree.defects(root), *layout.defects, *defects))),
        list_id=fields.line("list-id")[:MAX_LINE_CHARACTERS],
    )


def attachment_bytes(raw: bytes, position: int, digest: str = "") -> bytes:
    """The decoded bytes of the attachment at `position` of parse(raw).attachments. Raises IndexError.

    digest: SHA-256, hex, of the expected bytes. The position may stem from an older parser, which counted attachments
    differently. If the part at the position has another digest, the attachment with this digest is returned instead.
    """
    return _attachment(raw, position, digest).octets()[0]


@charsets.detecting_seldom()
def _attachment(raw: bytes, position: int, digest: str) -> Part:
    attachments = opened(layout_of(mime_tree.read_tree(raw))).attachments
    there = attachments[position : position + 1] if position >= 0 else ()
    if digest:
        others = (part for part in attachments if part not in there)
        meant = next((part for part in (*there, *others) if _measured(part)[0].digest == digest), None)
        there = (meant,) if meant else there  # no match: this parser decodes the part differently from the older one
    if not there:
        raise IndexError(f"The message has {len(attachments)} attachments; there is none at position {position}.")
    return there[0]


def _measured(part: Part) -> tuple[attachment_digest.Measure, bool]:
    """Size, digest and first bytes of a part's decoded content, and whether its transfer encoding was valid."""
    measured = None if part.children is not None else attachment_digest.measure(part.transfer_encoding, part.encoded)
    if measured is not None:
        return measured, True
    octets, is_sound = part.octets()
    return attachment_digest.Measure(len(octets), hashlib.sha256(octets).hexdigest(), octets[:65_536]), is_sound


@dataclass(frozen=True)
class AttachmentBytes:
    """The decoded bytes of an attachment, `size` in all. A large base64 one is decoded piece by piece."""

    size: int
    pieces: Iterable[bytes | memoryview]


def attachment_content(raw: bytes, position: int, digest: str = "") -> AttachmentBytes:
    """Like attachment_bytes(), but as pieces, for streaming. raw: may also be a memory-mapped file. Raises
    IndexError."""
    part = _attachment(raw, position, digest)
    measured = None if part.children is not None else attachment_digest.measure(part.transfer_encoding, part.encoded)
    if measured is None:
        octets = part.octets()[0]
        return AttachmentBytes(len(octets), [octets])
    return AttachmentBytes(measured.size, attachment_digest.pieces(part.transfer_encoding, part.encoded))


@charsets.detecting_seldom()
def inline_images(raw: bytes, largest: int | None = None) -> dict[str, tuple[str, bytes]]:
    """The image parts with a content id: id without brackets -> (content type, bytes). The first of an id wins.

    largest: bytes; parts that are certainly larger are left out without decoding them.
    """
    images: dict[str, tuple[str, bytes]] = {}
    for _position, part in _images(raw, largest):
        content_id = content_id_of(part)
        if content_id and content_id not in images and (image := _image_type(part)):
            images[content_id] = (image, part.octets()[0])
    return images


@charsets.detecting_seldom()
def shown_images(raw: bytes, largest: int | None = None) -> dict[str, tuple[str, bytes]]:
    """The images of a message, by each name by which an HTML body may refer to them -> (content type, bytes).

    The names are the content id, Content-Location (RFC 2557), the file name and readable_text.picture_id().
    largest: as for inline_images().
    """
    images: dict[str, tuple[str, bytes]] = {}
    for position, part in _images(raw, largest):
        names = [
            charsets.unfold(part.get("content-location")),
            stated_filename(part),
            readable_text.picture_id(position),
        ]
        if image := _image_type(part):
            found = (image, part.octets()[0])
            for name in filter(None, names):
                images.setdefault(name, found)
    return images | inline_images(raw, largest)


def _images(raw: bytes, largest: int | None) -> Iterator[tuple[int, Part]]:
    for position, part in enumerate(opened(layout_of(mime_tree.read_tree(raw))).attachments):
        if largest is None or len(part.encoded) <= 3 * largest:  # no encoding is more than three times as long
            yield position, part


@charsets.detecting_seldom()
def header_lines(raw: bytes) -> list[tuple[str, str]]:
    """All header fields in their order, unfolded and with encoded words decoded, for display."""
    root = mime_tree.read_headers(raw)
    charset = root.parameter("content-type", "charset")
    return [
        (name, charsets.unfold(charsets.decode_words(charsets.header_text(value[: mime_tree.MAX_HEADER], charset))))
        for name, value in root.fields
    ]


# --- attachments


def _described(part: Part, position: int, defects: list[str]) -> ParsedAttachment:
    measured, is_sound = _measured(part)
    if not is_sound:
        defects.append("TransferEncodingDefect")
    content_type = part.content_type if _TYPE.fullmatch(part.content_type) else "application/octet-stream"
    content_id = content_id_of(part)
    return ParsedAttachment(
        position=position,
        filename=_filename(part, measured.head, position),
        content_type=content_type,
        size=measured.size,
        content_id=content_id,
        is_inline=bool(content_id) and bool(_image_type(part)) and disposition(part) != "attachment",
        digest=measured.digest,
    )


def _image_type(part: Part) -> str:
    """The media type of an image; "" for other parts.

    Some senders label the images of their HTML application/octet-stream; these are recognised by their first bytes.
    """
    if part.content_type.startswith("image/"):
        return part.content_type if _TYPE.fullmatch(part.content_type) else ""
    if part.content_type != "application/octet-stream" or not (content_id_of(part) or stated_filename(part)):
        return ""
    head = transfer_encoding.undone(part.transfer_encoding, part.encoded[:200])[0]
    return next((image for mark, image in _IMAGE_MARKS.items() if head.startswith(mark)), "")


def _filename(part: Part, head: bytes, position: int) -> str:
    stated = stated_filename(part) or described_filename(part)
    if not stated and part.content_type in MESSAGE_TYPES:
        return filenames.message_filename(Fields(mime_tree.read_headers(head), []).line("subject"), position)
    return filenames.safe_filename(stated, part.content_type, position)


# --- bodies


def _bodies(raw: bytes, layout: Layout, defects: list[str]) -> tuple[str, str]:
    """The body as text and as HTML; "" for a form that the message lacks."""
    read: dict[int, str] = {}
    for part in (*layout.text, *layout.html):
        if id(part) not in read:
            read[id(part)] = part_text.text_of(part, defects) if part.content_type.startswith("text/") else ""
    body_text = readable_text.joined_text([(part, read[id(part)]) for part in layout.text])
    body_html = readable_text.joined_html([(part, read[id(part)]) for part in layout.html], layout.attachments)
    if layout.is_broken:
        body_text = body_text or _section(raw, b"plain", defects)
        body_html = body_html or _section(raw, b"html", defects)
    if max(len(body_text), len(body_html)) > MAX_BODY_CHARACTERS:
        defects.append("BodyCut")
    return body_text[:MAX_BODY_CHARACTERS], body_html[:MAX_BODY_CHARACTERS]


def _section(raw: bytes, subtype: bytes, defects: list[str]) -> str:
    part = mime_tree.raw_section(raw, subtype)
    return part_text.text_of(part, defects) if part else ""


def _attached_text(layout: Layout, depth: int) -> str:
    """Subject, sender, recipients, file names and text of attached messages, and of messages attached to those."""
    if depth >= _MAX_ATTACHED_DEPTH:
        return ""
    found: list[str] = []
    room = _MAX_ATTACHED_BYTES
    within = [each for each in layout.attachments if _is_attached_message(each)]
    for part in within[:_MAX_ATTACHED_MESSAGES]:
        if len(part.encoded) > room:
            break
        room -= len(part.encoded)
        inner = _parsed(part.octets()[0], depth + 1)
        names = " ".join(attachment.filename for attachment in inner.attachments[:100])
        found += [inner.subject, inner.sender, inner.recipients, names, readable_text.searched(inner)]
    return "\n".join(filter(None, found))[:MAX_ATTACHED_CHARACTERS]


def _is_attached_message(part: Part) -> bool:
    """Whether it is a message by its type, or by its file name, as some programs attach it without its type."""
    is_file = part.content_type in ("application/octet-stream", "application/eml", "text/plain")
    return part.content_type in _SEARCHED_TYPES or (is_file and stated_filename(part).lower().endswith(".eml"))


# --- header


def _message_id(fields: Fields, raw: bytes) -> str:
    stated = fields.undecoded_line("message-id")
    if not stated or len(stated.encode()) > MAX_MESSAGE_ID_BYTES:
        return hashlib.sha256(raw).hexdigest()
    return stated
