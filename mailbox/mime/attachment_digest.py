"""Size and digest of a large attachment, decoded piece by piece so that it is never whole in memory. Pure."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

LARGE = 4 * 1024 * 1024  # encoded bytes; smaller ones are decoded at once
_PIECE = 1024 * 1024
_HEAD = 65_536
_SPACE = b"\r\n \t"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@dataclass(frozen=True)
class Measure:
    """Size in bytes and digest of decoded content, and its first bytes."""

    size: int
    digest: str  # SHA-256, hex
    head: bytes


def measure(encoding: str, encoded: memoryview) -> Measure | None:
    """Measure an attachment without decoding it as a whole.

    Returns None if it is small, or can only be decoded as a whole: quoted-printable, uuencode or damaged base64.
    """
    if len(encoded) <= LARGE or encoding in ("quoted-printable", "x-uuencode"):
        return None
    size, digest, head = 0, hashlib.sha256(), b""
    try:
        for piece in pieces(encoding, encoded):
            size += len(piece)
            digest.update(piece)
            if len(head) < _HEAD:
                head += bytes(piece[: _HEAD - len(head)])
    except binascii.Error:
        return None
    return Measure(size, digest.hexdigest(), head)


def pieces(encoding: str, encoded: memoryview) -> Iterator[bytes | memoryview]:
    """The decoded bytes, a megabyte at a time. Raises binascii.Error for base64 that measure() refuses."""
    return _base64(encoded) if encoding == "base64" else _as_is(encoded)


def _as_is(content: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


def _base64(encoded: memoryview) -> Iterator[bytes]:
    """Decode strict base64: its alphabet, white space, and padding at the very end. Raises binascii.Error for more."""
    rest = b""
    for start in range(0, len(encoded), _PIECE):
        letters = rest + bytes(encoded[start : start + _PIECE]).translate(None, delete=_SPACE)
        is_last = start + _PIECE >= len(encoded)
        whole = len(letters) if is_last else len(letters) - len(letters) % 4
        taken, rest = letters[:whole], letters[whole:]
        odd = taken.translate(None, delete=_LETTERS)
        if odd.strip(b"=") or (odd and not is_last) or b"=" in taken.rstrip(b"="):
            raise binascii.Error("not plain base64")
        yield binascii.a2b_base64(taken)
