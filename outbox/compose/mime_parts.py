"""Builds the MIME parts of attachments. Writes their header fields itself, so that a file name cannot add others.

A file name is an RFC 2231 parameter, percent-encoded but for letters, digits and a few marks. The standard library
would decode an encoded word (RFC 2047) in a file name and write the result, line breaks included, into the header.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterator, Sequence

from outbox.compose.attachments import AttachmentContent

_PLAIN = re.compile(r"[A-Za-z0-9 _.,+@()\[\]-]{1,60}")  # as a quoted string
_ATTRIBUTE_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{}~")  # RFC 5987
_SEGMENT = 54  # characters of a continued parameter, so that its line stays below 78
_CRLF = b"\r\n"
_VERSION = b"MIME-Version: 1.0\r\n"


def mixed(body: bytes, attachments: Sequence[AttachmentContent]) -> bytes:
    """A multipart/mixed of a body and attachments, with MIME-Version. `body` has its own MIME header fields."""
    parts = [part_header(each) + _CRLF + _lines(each.content) for each in attachments]
    return _VERSION + _multipart("mixed", [body.replace(_VERSION, b"", 1), *parts])


def alternative(parts: Sequence[bytes]) -> bytes:
    """A multipart/alternative, with MIME-Version. Each part has its own MIME header fields."""
    return _VERSION + _multipart("alternative", [part.replace(_VERSION, b"", 1) for part in parts])


def with_pictures(text: bytes, html: bytes, pictures: Sequence[AttachmentContent]) -> bytes:
    """A multipart/alternative of a text and of its HTML in a multipart/related with its pictures (RFC 2387)."""
    parts = [part_header(each) + _CRLF + _lines(each.content) for each in pictures]
    related = _multipart("related", [html.replace(_VERSION, b"", 1), *parts], 'type="text/html"; ')
    return _VERSION + _multipart("alternative", [text.replace(_VERSION, b"", 1), related])


def _multipart(subtype: str, parts: Sequence[bytes], parameters: str = "") -> bytes:
    # Quoted-printable and base64 text never contain "=_" (RFC 2045 6.7), so no part contains the boundary.
    boundary = f"=_{secrets.token_hex(16)}"
    head = f'Content-Type: multipart/{subtype}; {parameters}\r\n boundary="{boundary}"\r\n\r\n'.replace("; \r", ";\r")
    start = f"--{boundary}\r\n".encode("ascii")
    pieces = _CRLF.join(start + part for part in parts)
    return head.encode("ascii") + pieces + f"\r\n--{boundary}--\r\n".encode("ascii")


def part_header(attachment: AttachmentContent) -> bytes:
    """The header of an attachment's part, with CRLF, without the empty line that ends it (RFC 2046 5.1, RFC 2183)."""
    content_type, content_id = attachment.content_type, attachment.content_id
    if content_type.partition("/")[0] in ("message", "multipart"):
        content_type = "application/octet-stream"  # message/* and multipart/* may not be base64 (RFC 2046 5)
    kind = "inline" if content_id else "attachment"
    disposition = ";\r\n ".join([kind, *_parameter("filename", attachment.filename)])
    text = (
        f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: {disposition}\r\n"
    )
    text += f"Content-ID: <{content_id}>\r\n" if content_id else ""
    return text.encode("ascii")


def _parameter(name: str, value: str) -> Iterator[str]:
    """A header parameter, or its numbered continuations (RFC 2231 3 and 4)."""
    if _PLAIN.fullmatch(value):
        yield f'{name}="{value}"'
        return
    octets = [chr(octet) if chr(octet) in _ATTRIBUTE_CHARS else f"%{octet:02X}" for octet in value.encode()]
    pieces, length = [""], 0
    for octet in octets:
        if length + len(octet) > _SEGMENT:
            pieces.append("")
            length = 0
        pieces[-1] += octet
        length += len(octet)
    if len(pieces) == 1:
        yield f"{name}*=utf-8''{pieces[0]}"
        return
    for number, piece in enumerate(pieces):
        charset = "" if number else "utf-8''"
        yield f"{name}*{number}*={charset}{piece}"


def _lines(content: bytes) -> bytes:
    encoded = base64.b64encode(content)
    return _CRLF.join(encoded[at : at + 76] for at in range(0, len(encoded), 76))
