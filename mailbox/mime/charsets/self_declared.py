"""Recognises charsets by byte order marks, NULs beside letters, or escapes of ISO 2022. Pure."""

from __future__ import annotations

import codecs
import re

from mailbox.mime.charsets import labels

JIS_ESCAPE = re.compile(rb"\x1b\$[@B]")
_KOREAN_ESCAPE = b"\x1b$)C"  # RFC 1557
_CHINESE_ESCAPE = re.compile(rb"\x1b\$(?:\)[AEG]|\*H)")  # RFC 1922
_LOOKED_AT = 4_000  # bytes
_BOMS = (
    *((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)


def escaped_codec(octets: bytes) -> str:
    """The codec of text that contains escapes of ISO 2022, whatever its label; "" for other text."""
    if b"\x1b" not in octets:
        return ""
    if JIS_ESCAPE.search(octets):
        return labels.ISO_2022_JP
    if _CHINESE_ESCAPE.search(octets):
        return labels.ISO_2022_CN
    return "iso2022_kr" if _KOREAN_ESCAPE in octets else ""


def wide_codec(octets: bytes) -> str:
    """The codec of text that begins with a byte order mark, or has NULs beside each letter; "" for other text."""
    if octets[:1] in b"\xef\xff\xfe\0":
        for mark, codec in _BOMS:
            if octets.startswith(mark):
                return codec
    head = octets[:_LOOKED_AT]
    if len(head) >= 8 and head.count(b"\0") * 3 >= len(head):
        for codec, first in (
            ("utf-32-le", (1, 2, 3)),
            ("utf-32-be", (0, 1, 2)),
            ("utf-16-le", (1, 3)),
            ("utf-16-be", (0, 2)),
        ):
            if all(head[at::4].count(b"\0") * 10 >= len(head[at::4]) * 9 for at in first):
                return codec
    return ""


def utf16_codec(octets: bytes) -> str:
    """The codec of text labelled UTF-16 without saying in which order the bytes of a character are.

    A byte order mark says it. Without one, the more significant bytes have fewer different values, as a text is in few
    scripts. Where they have as many, it is big-endian (RFC 2781, 4.3).
    """
    if octets[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    head = octets[:_LOOKED_AT]
    return "utf-16-le" if len(set(head[1::2])) < len(set(head[::2])) else "utf-16-be"
