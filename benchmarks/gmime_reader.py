"""What GMime reads in messages: run by the system's Python, which has its binding; no module of ours is imported.

Standard input: messages, each as its length in eight bytes and its octets. Output: a line of JSON for each.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from typing import Any

import gi  # type: ignore[import-not-found]

gi.require_version("GMime", "3.0")
from gi.repository import GMime  # type: ignore[import-not-found] # noqa: E402

LENGTH = struct.Struct("<Q")


def addresses(found: Any) -> list[str]:
    """The addr-specs of an address list, those of groups included."""
    listed: list[str] = []
    for number in range(found.length() if found else 0):
        each = found.get_address(number)
        if isinstance(each, GMime.InternetAddressGroup):
            listed += addresses(each.get_members())
        else:
            listed.append(each.get_addr() or "")
    return listed


def octets(part: Any) -> bytes:
    """The decoded content of a part."""
    stream = GMime.StreamMem.new()
    content = part.get_content()
    if content is not None:
        content.write_to_stream(stream)
    return bytes(stream.get_byte_array() or b"")


def text_of(part: Any) -> str:
    try:
        return part.get_text() or ""
    except UnicodeDecodeError:  # a charset that it does not know: the binding takes all text for UTF-8
        return ""


def filename_of(part: Any) -> str:
    try:
        return part.get_filename() or ""
    except UnicodeDecodeError:  # GMime hands on octets that are no UTF-8, which its Python binding refuses
        return ""


def read(raw: bytes) -> dict[str, Any]:
    """The fields of a message for the comparison; {} if GMime makes no message of it."""
    stream = GMime.StreamMem.new_with_buffer(raw)
    message = GMime.Parser.new_with_stream(stream).construct_message(None)
    if message is None:
        return {}
    text: list[str] = []
    html: list[str] = []
    files: list[list[str]] = []

    def visit(_parent: Any, part: Any) -> None:
        if not isinstance(part, GMime.Part):
            return
        kind = part.get_content_type().get_mime_type().lower() if part.get_content_type() else "text/plain"
        if isinstance(part, GMime.TextPart) and not part.is_attachment() and kind in ("text/plain", "text/html"):
            (html if kind == "text/html" else text).append(text_of(part))
        else:
            files.append([filename_of(part), hashlib.sha256(octets(part)).hexdigest()])

    message.foreach(visit)
    date = message.get_date()
    return {
        "message_id": message.get_message_id() or "",
        "subject": message.get_subject() or "",
        "from": addresses(message.get_from()),
        "to": addresses(message.get_to()),
        "cc": addresses(message.get_cc()),
        "date": date.to_unix() if date else None,
        "text": " ".join("\n".join(text).split()),
        "html": " ".join("\n".join(html).split()),
        "files": files,
    }


def main() -> None:
    GMime.init()
    while (head := sys.stdin.buffer.read(LENGTH.size)) and len(head) == LENGTH.size:
        raw = sys.stdin.buffer.read(LENGTH.unpack(head)[0])
        print(json.dumps(read(raw)), flush=True)


if __name__ == "__main__":
    main()
