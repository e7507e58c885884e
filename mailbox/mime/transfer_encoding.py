"""Transfer encodings undone (RFC 2045 section 6), as far as hostile or broken content allows. Pure."""

from __future__ import annotations

import binascii

_JUNK = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_MAX_UU_LINES = 2_000_000  # 90 MB; each line costs time, also an empty one


def undone(encoding: str, encoded: memoryview) -> tuple[bytes, bool]:
    """The content without its transfer encoding (lower case), and whether that was sound. Unknown ones stay as is."""
    if encoding == "base64":
        return decode_base64(encoded)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(encoded), True
    if encoding in ("x-uuencode", "uuencode", "uue", "x-uue"):
        return _uudecoded(bytes(encoded))
    return bytes(encoded), True


def decode_base64(octets: bytes | memoryview) -> tuple[bytes, bool]:
    """Base64 (RFC 2045) as far as it can be read, and whether it was sound."""
    try:
        return binascii.a2b_base64(octets), True
    except binascii.Error:
        letters = bytes(octets).translate(None, delete=_JUNK)
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4)), False


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
