"""Decodes BinHex 4.0 (RFC 1741), a Macintosh file as text. Pure, linear in time for any bytes."""

from __future__ import annotations

import binascii
import re
import struct
from dataclasses import dataclass

_LETTERS = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_BASE64 = bytes.maketrans(_LETTERS, _BASE64)
_REPEAT = b"\x90"
_REPEATED = re.compile(rb"\x90(.)", re.S)
_AFTER_NAME = struct.Struct(">x4s4sHLL")  # version, type, creator, flags, lengths of the data and the resource fork
MAX_BYTES = 64_000_000  # decoded; the limit is needed as two bytes of a run can stand for 255


@dataclass(frozen=True)
class BinHexFile:
    """A decoded file: its name from the header, and its data fork; the resource fork is left out."""

    filename: str
    octets: bytes  # the data fork


def read(code: bytes) -> BinHexFile | None:
    """Decode the code between two colons. None unless it is a complete file with a correct checksum."""
    content = _repeated(_octets(code.strip(b" \t\r\n").strip(b":")))
    if content is None or not content or not 1 <= content[0] <= 63:
        return None
    start = 1 + content[0]
    header_end = start + _AFTER_NAME.size
    if len(content) < header_end + 2:
        return None
    *_, length, _resource = _AFTER_NAME.unpack_from(content, start)
    data = content[header_end + 2 : header_end + 2 + length]
    checksum = content[header_end + 2 + length :][:2]
    if len(data) != length or len(checksum) != 2 or binascii.crc_hqx(data, 0) != int.from_bytes(checksum, "big"):
        return None
    return BinHexFile(content[1:start].decode("mac-roman"), data)


def _octets(code: bytes) -> bytes:
    """Decode the characters, each of six bits as in base64 but with another alphabet; b"" if any is invalid."""
    letters = code.translate(None, delete=b" \t\r\n")
    if letters.translate(None, delete=_LETTERS):
        return b""
    letters = letters.translate(_TO_BASE64)
    return binascii.a2b_base64(letters[: len(letters) - (len(letters) % 4 == 1)] + b"=" * (-len(letters) % 4))


def _repeated(packed: bytes) -> bytes | None:
    """Expand the run-length code: a byte, 0x90 and a count; 0x90 and 0 is 0x90 itself. None above MAX_BYTES."""
    pieces: list[bytes] = []
    total = position = 0
    last = b""
    for repeat in _REPEATED.finditer(packed):
        plain = packed[position : repeat.start()]
        last, count, position = plain[-1:] or last, repeat[1][0], repeat.end()
        run = last * (count - 1) if count else _REPEAT
        last = last if count else _REPEAT
        pieces += [plain, run]
        total += len(plain) + len(run)
        if total > MAX_BYTES:
            return None
    return b"".join((*pieces, packed[position:]))
