"""Transfer encodings undone (RFC 2045 section 6), as far as hostile or broken content allows. Pure."""

from __future__ import annotations

import binascii
import re

_JUNK = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_PLAIN = ("7bit", "8bit", "binary", "base64", "quoted-printable", "")
_NAMES = ("base64", "quoted-printable", "x-uuencode")
_NAMED = re.compile(r"(base.?64|\bb64\b)|(quoted.{0,2}printable|\bqp\b)|(uue|x-uue?\b|\buu\b)")
_COMMENT = re.compile(r"\([^()]*+\)")
# Behind padding: whole lines of base64, which may be padded themselves. A line of words is a footer.
_MORE_BASE64 = re.compile(rb"=+[ \t]*+(?:(?:\r\n|\r|\n)*+[A-Za-z0-9+/]{2,}+={0,2}+[ \t]*+(?=[\r\n]|\Z|(?<==)))*+")
# What does not belong to the alphabet of RFC 4648 section 5, which some programs take for mail's.
_NOT_OF_URLS = re.compile(rb"[^A-Za-z0-9_\r\n=-]")
_OF_URLS = bytes.maketrans(b"-_", b"+/")
_DRAWN = re.compile(rb"={2,}+(?![0-9A-Fa-f]{2})|={1,}+(?==[0-9A-Fa-f]{2})")
_PADDED_BREAK = re.compile(rb"=[ \t]++(?=\r?\n)")
_MAX_UU_LINES = 2_000_000  # 90 MB; each line costs time, also an empty one


def encoding_of(field: str) -> str:
    """The encoding that a Content-Transfer-Encoding names, lower case; quotes, comments and odd dashes around it."""
    plain = field.strip().lower()
    if plain in _PLAIN:
        return plain
    found = _NAMED.search(_COMMENT.sub("", plain))
    if found is None:
        return plain.partition(";")[0].strip()
    return next(name for name, group in zip(_NAMES, found.groups(), strict=True) if group)


def is_plain(field: str) -> bool:
    """Whether the field names an encoding of RFC 2045 section 6.1, and nothing beside it."""
    return field.strip().lower() in _PLAIN


def undone(encoding: str, encoded: memoryview) -> tuple[bytes, bool]:
    """The content without its transfer encoding (lower case), and whether that was sound. Unknown ones stay as is."""
    if encoding == "base64":
        return decode_base64(encoded)
    if encoding == "quoted-printable":
        return _decode_quoted_printable(encoded)
    if encoding == "x-uuencode":
        return _uudecoded(bytes(encoded))
    return bytes(encoded), True


def decode_base64(octets: bytes | memoryview) -> tuple[bytes, bool]:
    """Base64 (RFC 2045 section 6.8) as far as it can be read, and whether it was sound.

    What follows padding is read as well where it is base64 too: some encoders pad each line or block.
    """
    given = bytes(octets)
    if (b"-" in given or b"_" in given) and _NOT_OF_URLS.search(given.strip()) is None:
        return _decode_letters(given.translate(_OF_URLS)), False
    padding = given.find(b"=")
    if padding >= 0 and given[padding:].strip(b"=\r\n\t \0"):
        rest = _MORE_BASE64.match(given, padding)
        blocks = (given[:padding] + (rest[0] if rest else b"")).split(b"=")
        return b"".join(_decode_letters(block) for block in blocks if block), False
    try:
        return binascii.a2b_base64(given), True
    except binascii.Error:
        return _decode_letters(given), False


def _decode_letters(octets: bytes) -> bytes:
    """What the letters of base64 among these say, with the padding that they lack."""
    letters = octets.translate(None, delete=_JUNK)
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def _decode_quoted_printable(encoded: memoryview) -> tuple[bytes, bool]:
    """RFC 2045 section 6.7. Signs that escape nothing stay: a line of them is a line that someone drew."""
    given = bytes(encoded)
    if b"==" not in given and b"= " not in given and b"=\t" not in given:
        return binascii.a2b_qp(given), True
    escaped = _DRAWN.sub(lambda run: b"=3D" * len(run[0]), _PADDED_BREAK.sub(b"=", given))
    return binascii.a2b_qp(escaped), escaped == given


def _uudecoded(encoded: bytes) -> tuple[bytes, bool]:
    decoded: list[bytes] = []
    inside = sound = False
    position = 0
    for _ in range(_MAX_UU_LINES):
        if position >= len(encoded):
            break
        end = encoded.find(b"\n", position) + 1 or len(encoded)
        line = encoded[position:end].rstrip(b"\r\n")
        position = end
        if not inside:
            inside = line.startswith(b"begin ")
        elif line.strip() in (b"end", b"`", b""):
            sound = True
            if line.strip() == b"end":
                break
        else:
            octets = _uu_line(line)
            if octets is None:
                return b"".join(decoded) or encoded, False
            decoded.append(octets)
    return (b"".join(decoded), sound) if inside else (encoded, False)


def _uu_line(line: bytes) -> bytes | None:
    # Encoders pad lines with more than the count says: https://bugs.python.org/issue1467619
    for candidate in (line, line[: (((line[0] - 32) & 63) * 4 + 5) // 3]):
        try:
            return binascii.a2b_uu(candidate)
        except binascii.Error:
            continue
    return None
