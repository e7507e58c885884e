"""Reads how many pixels a raster image decodes to, from its header alone. Pure; no bytes make it raise.

A picture of one colour packs 2.5 thousand million pixels into some kilobytes, and a browser that shows it needs four
bytes for each of them. Not by Pillow, which allocates the whole canvas of a WebP to open it (1.3 GB for 36 bytes of
file) and reads a stranger's images in a process with limits alone (mailbox.pictures).

Formats: PNG (ISO 15948), GIF89a, JPEG (ITU T.81), WebP (RFC 9649).
"""

from __future__ import annotations

import struct

# Start of frame, with the image's size (ITU T.81, table B.1): all of C0 to CF but DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length: TEM, RST0 to RST7, SOI
_END_OF_HEADER = (0xD9, 0xDA)  # EOI, SOS


def pixels_of(octets: bytes) -> int | None:
    """Width times height of the image. None if its header states no size, so that nobody can say what it costs."""
    try:
        width, height = _size(octets)
    except (struct.error, IndexError):
        return None
    return width * height or None


def _size(octets: bytes) -> tuple[int, int]:
    if octets.startswith(b"\x89PNG\r\n\x1a\n") and octets[12:16] == b"IHDR":
        width, height = struct.unpack_from(">II", octets, 16)
        return width, height
    if octets.startswith((b"GIF87a", b"GIF89a")):
        return _of_gif(octets)
    if octets.startswith(b"\xff\xd8\xff"):
        return _of_jpeg(octets)
    if octets.startswith(b"RIFF") and octets[8:12] == b"WEBP":
        return _of_webp(octets)
    return 0, 0


def _of_gif(octets: bytes) -> tuple[int, int]:
    """The logical screen, or the first picture where that is larger: browsers enlarge the screen to it."""
    width, height, flags = struct.unpack_from("<HHB", octets, 6)
    at = 13 + _colours(flags)
    while octets[at] == 0x21:  # an extension: label, then blocks with their lengths
        at += 2
        while octets[at]:
            at += 1 + octets[at]
        at += 1
    if octets[at] == 0x2C:
        left, top, wide, high = struct.unpack_from("<HHHH", octets, at + 1)
        width, height = max(width, left + wide), max(height, top + high)
    return width, height


def _colours(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _of_jpeg(octets: bytes) -> tuple[int, int]:
    """The first frame header; decoders refuse a second one. Bytes between segments are skipped, as decoders do."""
    at = 2
    while (at := octets.find(b"\xff", at)) >= 0:
        marker = octets[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0 or marker in _BARE:
            at += 2
        elif marker in _END_OF_HEADER:
            break
        elif marker in _FRAMES:
            height, width = struct.unpack_from(">HH", octets, at + 5)
            return width, height
        else:
            at += 2 + max(2, struct.unpack_from(">H", octets, at + 2)[0])
    return 0, 0


def _of_webp(octets: bytes) -> tuple[int, int]:
    kind = octets[12:16]
    if kind == b"VP8X":  # the canvas, each side less one, in 24 bits
        wide, wider, high, higher = struct.unpack_from("<HBHB", octets, 24)
        return (wider << 16) + wide + 1, (higher << 16) + high + 1
    if kind == b"VP8L":  # 14 bits each, less one, behind the signature
        packed = struct.unpack_from("<I", octets, 21)[0]
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":  # 14 bits each, behind frame tag and start code
        width, height = struct.unpack_from("<HH", octets, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0
