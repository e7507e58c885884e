"""Decodes ISO-2022-JP (RFC 1468) and EUC-JP with NEC and IBM characters, as browsers do (PHP's cp50221). Pure.

Python's codecs refuse these characters, which Japanese mail often has (㈱, ①, 髙), and misread the text behind one.
Here each character is converted by windows-31j, which has them all.
"""

from __future__ import annotations

import io
import re
from itertools import islice

# ISO 2022 escapes: into ASCII or JIS X 0201 Roman, half-width katakana, JIS X 0208, JIS X 0212, JIS X 0213, others.
_ESCAPE = re.compile(rb"\x1b(\(B|\(J|\(H|\(I|\$\(?@|\$\(?B|\$\(D|\$\(?A|\$\(C|\$\([OPQ]|\.A|\.F|&@)")
MAX_PIECES = 2_000_001  # that are read of one text: more than part_text.MAX_CHARACTERS, each a character or more
_KANJI = (b"$@", b"$B", b"$(@", b"$(B")
_EUC = re.compile(rb"[\x00-\x7f]+|\x8f[\xa1-\xfe]{2}|\x8e[\xa1-\xdf]|(?:[\xa1-\xfe]{2})+|.", re.S)
_PAIRS = re.compile(rb"(?:[\x21-\x7e]{2})+|[\x00-\x20\x7f-\xff]+|.", re.S)


def decode_iso_2022_jp(octets: bytes) -> str:
    """Decode ISO-2022-JP, with U+FFFD for invalid bytes."""
    text = io.StringIO(newline="")  # a list of the pieces would take many times the memory
    mode, position = b"(B", 0
    for escape in islice(_ESCAPE.finditer(octets), MAX_PIECES):
        text.write(_in_mode(mode, octets[position : escape.start()]))
        mode, position = escape[1], escape.end()
    text.write(_in_mode(mode, octets[position:]))
    return text.getvalue()


def decode_euc_jp(octets: bytes) -> str:
    """Decode EUC-JP, with U+FFFD for invalid bytes."""
    text = io.StringIO(newline="")
    for match in islice(_EUC.finditer(octets), MAX_PIECES):
        found = match[0]
        if found.isascii():
            text.write(found.decode("ascii"))
        elif found[0] == 0x8F:
            text.write(found.decode("euc_jp", "replace") if len(found) == 3 else "\ufffd")
        elif found[0] == 0x8E:
            text.write(found[1:].decode("cp932", "replace") if len(found) == 2 else "\ufffd")
        elif len(found) > 1:
            text.write(_kanji(bytes(each & 0x7F for each in found)))
        else:
            text.write("\ufffd")
    return text.getvalue()


def _in_mode(mode: bytes, octets: bytes) -> str:
    if not octets:
        return ""
    if mode in _KANJI:
        return _in_pairs(octets)
    if mode == b"(I":
        return "".join(chr(0xFF40 + each) if 0x21 <= each <= 0x5F else chr(each & 0x7F) for each in octets)
    if mode in (b"$(D", b"$A", b"$(A", b"$(C", b".A", b".F"):
        return (b"\x1b" + mode + octets).decode("iso2022_jp_2", "replace")
    if mode in (b"$(O", b"$(P", b"$(Q"):  # JIS X 0213, of ISO-2022-JP-3 and ISO-2022-JP-2004
        codec = "iso2022_jp_3" if mode == b"$(O" else "iso2022_jp_2004"
        return (b"\x1b" + mode + octets).decode(codec, "replace")
    return octets.decode("ascii") if octets.isascii() else octets.decode("cp932", "replace")


def _in_pairs(octets: bytes) -> str:
    text = io.StringIO(newline="")
    for match in islice(_PAIRS.finditer(octets), MAX_PIECES):
        found = match[0]
        text.write(_kanji(found) if len(found) > 1 and 0x21 <= found[0] <= 0x7E else _outside(found))
    return text.getvalue()


def _outside(octets: bytes) -> str:
    """Decode bytes between two-byte characters: line ends and spaces are kept, half a character is U+FFFD."""
    return "".join(chr(each) if each <= 0x20 else "\ufffd" for each in octets)


def _kanji(pairs: bytes) -> str:
    """Decode pairs of JIS X 0208 (bytes 0x21 to 0x7E) by converting them to Shift_JIS."""
    shifted = bytearray()
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        row, cell = first - 0x21, second - 0x21
        shifted.append((row >> 1) + (0x81 if row < 62 else 0xC1))
        shifted.append(cell + 0x9F if row & 1 else cell + 0x40 + (cell >= 63))
    try:
        return shifted.decode("cp932")
    except UnicodeDecodeError:  # pair by pair, as the decoder would resume inside an unknown pair
        return "".join(_letter(bytes(shifted[at : at + 2])) for at in range(0, len(shifted), 2))


def _letter(pair: bytes) -> str:
    try:
        return pair.decode("cp932")
    except UnicodeDecodeError:
        return "\ufffd"
