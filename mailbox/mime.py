"""Raw message -> ParsedMessage. Pure, and the only user of mailparser.

mail-parser reads what it reads best, the addresses and the Date. The parts come from the standard library's parser
beneath it, by way of `mime_tree`: mail-parser's own attachments are decoded lossily, are named at random, leave out
message/rfc822, and it parses every Received header, which takes most of its time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from mailbox import mime_names, mime_text, mime_tree
from mailbox.mime_layout import content_id_of, disposition, layout_of, stated_filename
from mailbox.mime_tree import Part

import mailparser

PARSER_VERSION = 2  # raise it when the same bytes would give other rows: a sweep may then parse again

MAX_BODY_CHARACTERS = 2_000_000  # of each body in the tables; the raw message has the rest
MAX_MESSAGE_ID_BYTES = 998  # RFC 5322 section 2.1.1, and the column
SNIPPET_CHARACTERS = 120
MAX_LINE_CHARACTERS = 2000  # of a subject, a sender, a list's id: every list shows them; the raw message has the rest
# mail-parser's address reader is quadratic; what is longer than this is kept as text.
_MAX_ADDRESS_HEADER = 32_768
_MAX_HEADER = 200_000
_ADDRESS_FIELDS = ("From", "To", "Cc", "Bcc", "Reply-To")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")  # RFC 6838 section 4.2
_ADDRESS = re.compile(r"[^\s<>@,;:\"()\[\]\\]{1,256}@[^\s<>@,;:\"()\\]{1,256}")


@dataclass(frozen=True)
class ParsedAttachment:
    """A part that is not the shown body. `size` and `digest` (SHA-256, hex) are of its decoded bytes."""

    position: int  # what attachment_bytes takes
    filename: str
    content_type: str
    size: int
    content_id: str  # without angle brackets, "" when there is none
    is_inline: bool  # shown in the HTML body by its content id
    digest: str


@dataclass(frozen=True)
class ParsedMessage:
    """What the tables keep of a message; text that any database can hold, "" where the header is absent."""

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
    date: datetime | None
    body_text: str
    body_html: str
    snippet: str
    attachments: tuple[ParsedAttachment, ...]
    defects: tuple[str, ...]
    list_id: str


def parse(raw: bytes) -> ParsedMessage:
    """Read a message, whole or its header only. Never raises, for any bytes: what is wrong is in `defects`."""
    root = mime_tree.read_tree(raw)
    layout = layout_of(root)
    defects = [*mime_tree.defects(root), *layout.defects]
    body_text = _body(layout.text, defects)
    body_html = _body(layout.html, defects)
    if layout.is_broken:
        body_text = body_text or _body(mime_tree.raw_section(raw, b"plain"), defects)
        body_html = body_html or _body(mime_tree.raw_section(raw, b"html"), defects)
    attachments = tuple(_described(part, position, defects) for position, part in enumerate(layout.attachments))
    addresses, date = _addresses_and_date(root, defects)
    sender, sender_address = _first_sender(root, addresses["From"])
    return ParsedMessage(
        message_id=_message_id(root, raw),
        subject=_line(root, "Subject")[:MAX_LINE_CHARACTERS],
        sender=sender[:MAX_LINE_CHARACTERS],
        sender_address=sender_address[:MAX_LINE_CHARACTERS],
        recipients=_shown_all(root, "To", addresses),
        cc=_shown_all(root, "Cc", addresses),
        bcc=_shown_all(root, "Bcc", addresses),
        reply_to=_shown_all(root, "Reply-To", addresses),
        in_reply_to=_line(root, "In-Reply-To"),
        references_header=" ".join(_line(root, "References").split()),
        date=date,
        body_text=body_text,
        body_html=body_html,
        snippet=_snippet(body_text, body_html),
        attachments=attachments,
        defects=tuple(dict.fromkeys(defects)),
        list_id=_line(root, "List-Id")[:MAX_LINE_CHARACTERS],
    )


def attachment_bytes(raw: bytes, position: int) -> bytes:
    """The decoded bytes of the attachment at `position` of parse(raw).attachments. Raises IndexError."""
    attachments = layout_of(mime_tree.read_tree(raw)).attachments
    if not 0 <= position < len(attachments):
        raise IndexError(f"The message has {len(attachments)} attachments; there is none at position {position}.")
    return attachments[position].octets()[0]


def inline_images(raw: bytes) -> dict[str, tuple[str, bytes]]:
    """The image parts that have a content id: id without brackets -> (content type, bytes). The first wins."""
    images: dict[str, tuple[str, bytes]] = {}
    for part in layout_of(mime_tree.read_tree(raw)).attachments:
        content_id = content_id_of(part)
        if content_id and content_id not in images and part.content_type.startswith("image/"):
            images[content_id] = (part.content_type, part.octets()[0])
    return images


def header_lines(raw: bytes) -> list[tuple[str, str]]:
    """Every header field in its order, unfolded, encoded words decoded, for the reader's eye."""
    root = mime_tree.read_headers(raw)
    fields = [(name, mime_text.header_text(str(value))) for name, value in root.raw_items()]
    return [
        (mime_text.storable(name), mime_text.unfold(mime_text.decode_words(value[:_MAX_HEADER])))
        for name, value in fields
    ]


# --- attachments


def _described(part: Part, position: int, defects: list[str]) -> ParsedAttachment:
    octets, is_sound = part.octets()
    if not is_sound:
        defects.append("TransferEncodingDefect")
    content_type = part.content_type if _TYPE.fullmatch(part.content_type) else "application/octet-stream"
    content_id = content_id_of(part)
    return ParsedAttachment(
        position=position,
        filename=_filename(part, octets, position),
        content_type=content_type,
        size=len(octets),
        content_id=content_id,
        is_inline=bool(content_id) and content_type.startswith("image/") and disposition(part) != "attachment",
        digest=hashlib.sha256(octets).hexdigest(),
    )


def _filename(part: Part, octets: bytes, position: int) -> str:
    stated = stated_filename(part)
    if not stated and part.content_type in ("message/rfc822", "message/global"):
        return mime_names.message_filename(_line(mime_tree.read_headers(octets[:65_536]), "Subject"), position)
    return mime_names.safe_filename(stated, part.content_type, position)


# --- bodies


def _body(part: Part | None, defects: list[str]) -> str:
    """A text part's text: transfer encoding, charset, flowed lines undone; line ends are \\n."""
    if part is None:
        return ""
    octets, is_sound = part.octets()
    if not is_sound:
        defects.append("TransferEncodingDefect")
    is_html = part.content_type == "text/html"
    label = part.parameter("Content-Type", "charset") or (mime_text.html_charset(octets) if is_html else "")
    is_cut = len(octets) > MAX_BODY_CHARACTERS * 4
    text, is_true = mime_text.decode_text(octets[: MAX_BODY_CHARACTERS * 4], label)
    if not is_true:
        defects.append("CharsetDefect")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not is_html and part.parameter("Content-Type", "format").lower() == "flowed":
        text = mime_text.unwrap_flowed(text, delete_space=part.parameter("Content-Type", "delsp").lower() == "yes")
    if is_cut or len(text) > MAX_BODY_CHARACTERS:
        defects.append("BodyCut")
    return mime_text.storable(text[:MAX_BODY_CHARACTERS])


def _snippet(body_text: str, body_html: str) -> str:
    collapsed = " ".join(body_text[: SNIPPET_CHARACTERS * 40].split())
    return collapsed[:SNIPPET_CHARACTERS] if collapsed else mime_text.html_words(body_html, SNIPPET_CHARACTERS)


# --- header


def _raw_values(root: Part, name: str) -> Iterator[str]:
    wanted = name.lower()
    for field, value in root.raw_items():
        if field.lower() == wanted:
            yield mime_text.header_text(str(value)[:_MAX_HEADER])


def _line(root: Part, name: str) -> str:
    """The first field of this name as one line of text."""
    for value in _raw_values(root, name):
        return mime_text.unfold(mime_text.decode_words(value))
    return ""


def _message_id(root: Part, raw: bytes) -> str:
    stated = mime_text.unfold(next(_raw_values(root, "Message-ID"), ""))
    if not stated or len(stated.encode()) > MAX_MESSAGE_ID_BYTES:
        return hashlib.sha256(raw).hexdigest()
    return stated


def _addresses_and_date(root: Part, defects: list[str]) -> tuple[dict[str, list[tuple[str, str]]], datetime | None]:
    """(name, address) pairs of each address field, and the Date header, by mail-parser.

    It is given only the fields it shall read, their 8-bit text repaired and their charsets made UTF-8.
    """
    header = Message()
    for name in _ADDRESS_FIELDS:
        values = [mime_text.unfold(mime_text.normal_words(value)) for value in _raw_values(root, name)]
        joined = ", ".join(value for value in values if value)
        if len(joined) > _MAX_ADDRESS_HEADER:
            defects.append("AddressHeaderTooLong")
        elif joined:
            header[name] = joined
    stated_date = mime_text.unfold(next(_raw_values(root, "Date"), ""))[:200]
    if stated_date:
        header["Date"] = stated_date
    read = mailparser.MailParser(header)
    defects.extend(sorted(read.defects_categories - {"DateHeaderDefect"}))
    pairs = {name: list(getattr(read, name.lower().replace("-", "_") + "_")) for name in _ADDRESS_FIELDS}
    date = read.date.replace(tzinfo=UTC) if read.date and read.date.tzinfo is None else read.date
    date = date or _lenient_date(stated_date)
    if stated_date and date is None:
        defects.append("DateHeaderDefect")
    return pairs, date


def _lenient_date(stated: str) -> datetime | None:
    """Dates that mail-parser refuses: without a zone (taken as UTC), or as ISO 8601."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = read(stated)
            date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
        if date.year >= 1900:  # below, a database's range or an epoch's end is hit, and no mail was sent
            return date
    return None


def _first_sender(root: Part, pairs: list[tuple[str, str]]) -> tuple[str, str]:
    for name, address in pairs:
        return _shown(name, address), mime_text.storable(address).lower()
    shown = _line(root, "From")
    found = _ADDRESS.search(shown[:_MAX_ADDRESS_HEADER])
    return shown, found[0].lower() if found else ""


def _shown_all(root: Part, field: str, pairs: dict[str, list[tuple[str, str]]]) -> str:
    """All addresses of a field, comma-separated; its text as written when no address could be read in it."""
    if pairs[field]:
        return ", ".join(_shown(name, address) for name, address in pairs[field])
    return mime_text.unfold(mime_text.decode_words(", ".join(_raw_values(root, field))))


def _shown(name: str, address: str) -> str:
    """`Ann <ann@example.com>`; the name quoted where it would otherwise read as something else."""
    name = mime_text.unfold(mime_text.decode_words(name))
    if not name:
        return mime_text.storable(address)
    if re.search(r'[()<>@,:;".\[\]\\]', name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return mime_text.storable(f"{name} <{address}>")
