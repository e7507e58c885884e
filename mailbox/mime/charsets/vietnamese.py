"""Decodes Vietnamese text that Python's codecs do not read, or read as letters with combining marks. Pure.

VISCII (RFC 1456) has each letter with its marks at one code, six of them at codes that are control characters in ASCII.
Windows-1258 writes the tone marks as characters of their own; they are joined with their letters (Unicode's NFC), so
that a search and a comparison find the word.
"""

from __future__ import annotations

import codecs

from mailbox.mime.charsets.japanese import MAX_PIECES
from mailbox.mime.normal_form import nfc

_CONTROLS = {0x02: "Ẳ", 0x05: "Ẵ", 0x06: "Ẫ", 0x14: "Ỷ", 0x19: "Ỹ", 0x1E: "Ỵ"}
_ABOVE_ASCII = (
    "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯ"
    "ÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡưàáâãảăữẫèéêẻìíĩỉđựòóôõỏọụùúũủýợỮ"
)
_VISCII = "".join(_CONTROLS.get(code, chr(code)) for code in range(0x80)) + _ABOVE_ASCII


def decode_viscii(octets: bytes) -> str:
    """Decode VISCII, in which each byte is a character."""
    return codecs.charmap_decode(octets, "strict", _VISCII)[0]


def decode_windows_1258(octets: bytes) -> str:
    """Decode windows-1258 with precomposed letters, and U+FFFD for invalid bytes."""
    return nfc(octets[: 2 * MAX_PIECES].decode("cp1258", "replace"))
