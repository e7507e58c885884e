"""Decodes the text of one text part: transfer encoding, charset and format=flowed. Pure, raises nothing."""

from __future__ import annotations

import html
import io
import re

from mailbox.mime import charsets, transfer_encoding
from mailbox.mime.part import Part

MAX_CHARACTERS = 2_000_000
_SAYING_NOTHING = ("", "us-ascii", "ascii")
_TAG = re.compile(r"<(?:a|b|br|center|div|font|hr|html|i|p|span|table)(?:\s[^<>]*)?/?>", re.I)


def text_of(part: Part, defects: list[str]) -> str:
    """The part's text, decoded, with line ends \\n, cut after MAX_CHARACTERS. Appends names of defects to `defects`."""
    octets, is_sound = part.octets()
    if not is_sound:
        defects.append("TransferEncodingDefect")
    if not transfer_encoding.is_plain(part.get("content-transfer-encoding")):
        defects.append("MimeFieldDefect")
    is_html = part.content_type == "text/html"
    label = part.parameter("content-type", "charset")
    if is_html and label.lower() in _SAYING_NOTHING:  # 8-bit text is no US-ASCII
        label = charsets.html_charset(octets) or label
    is_cut = len(octets) > MAX_CHARACTERS * 4
    text, is_true = charsets.decode_text(charsets.cut(octets, MAX_CHARACTERS * 4), label)
    if not is_true:
        defects.append("CharsetDefect")
    text = text.removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if is_cut or len(text) > MAX_CHARACTERS:
        defects.append("BodyCut")
        text = text[:MAX_CHARACTERS]
    if not is_html and part.parameter("content-type", "format").lower() == "flowed":
        text = _unwrap_flowed(text, delete_space=part.parameter("content-type", "delsp").lower() == "yes")
    if not is_sound:
        text += _footer(part, is_html=is_html)
    return charsets.storable(text)


def _footer(part: Part, *, is_html: bool) -> str:
    """The footer that a mailing list or scanner appended behind base64; a plain one as HTML if the part is HTML."""
    octets = transfer_encoding.footer_behind(part.transfer_encoding, part.encoded)
    footer = charsets.decode_text(charsets.cut(octets, MAX_CHARACTERS))[0].replace("\r\n", "\n")
    if not footer:
        return ""
    if is_html and _TAG.search(footer):
        return f"\n{footer}\n"
    return f'<div style="white-space: pre-wrap">{html.escape(footer)}</div>' if is_html else f"\n{footer}\n"


def _unwrap_flowed(text: str, *, delete_space: bool) -> str:
    """Join the soft line breaks of format=flowed text (RFC 3676). Quote marks become one ">" per level and a space."""
    shown = io.StringIO(newline="\n")  # a list of millions of short lines would take fifty times the memory
    open_depth: int | None = None  # quote depth of the paragraph that the next line may continue; None: it has ended
    for count, line in enumerate(io.StringIO(text, newline="\n")):
        line = line.removesuffix("\n")
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")  # space-stuffing, section 4.4
        is_signature = content == "-- "
        is_flowed = content.endswith(" ") and not is_signature
        if is_flowed and delete_space:
            content = content[:-1]
        if open_depth != depth or is_signature:
            shown.write(("\n" if count else "") + (">" * depth + " " if depth else ""))
        shown.write(content)
        open_depth = depth if is_flowed else None
    return shown.getvalue()
