"""Image files of any stated size, small ones whatever they decode to; and the tricks by which a size is hidden."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image


def encoded(kind: str, size: tuple[int, int], **options: object) -> bytes:
    """A file that Pillow writes."""
    output = io.BytesIO()
    Image.new("RGB", size, "red").save(output, kind, **options)  # type: ignore[arg-type]
    return output.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int) -> bytes:
    """One bit a pixel, all alike: 50,000 x 50,000 are 300 kilobytes."""
    packer, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif(screen: tuple[int, int], frame: tuple[int, int], before: bytes = b"") -> bytes:
    """A logical screen and a first frame of other sizes; `before`: blocks between them."""
    small = encoded("GIF", frame)
    table = 3 * 2 ** ((small[10] & 7) + 1)
    picture = small[small.index(b",", 13 + table) :]
    return small[:6] + struct.pack("<HH", *screen) + small[10 : 13 + table] + before + picture


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """A JPEG with a further segment at its beginning."""
    return jpeg[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


SMALL_FRAME = b"\xff\xc0\0\x11\x08\0\x01\0\x01\x03\x01\x22\0\x02\x11\x01\x03\x11\x01"  # says 1 x 1
# Each of 40 x 30 as decoders see it.
TRICKS = {
    "a PNG": encoded("PNG", (40, 30)),
    "a PNG of one bit": png(40, 30),
    "a GIF": encoded("GIF", (40, 30)),
    "a GIF whose first frame is larger than its screen": gif((1, 1), (40, 30)),
    "a GIF with a comment of frames": gif((1, 1), (40, 30), b"\x21\xfe\x0b," + bytes(10) + b"\0"),
    "a JPEG": encoded("JPEG", (40, 30)),
    "a progressive JPEG": encoded("JPEG", (40, 30), progressive=True),
    "a JPEG with a smaller one within": with_segment(encoded("JPEG", (40, 30)), 0xE1, b"Exif\0\0" + SMALL_FRAME),
    "a JPEG with a comment of frames": with_segment(encoded("JPEG", (40, 30)), 0xFE, SMALL_FRAME),
    "a JPEG with bytes between": (jpeg := encoded("JPEG", (40, 30)))[:2] + b"\xff\xff" + jpeg[3:],
    "a WebP": encoded("WEBP", (40, 30)),
    "a WebP without loss": encoded("WEBP", (40, 30), lossless=True),
    "a WebP with transparency": encoded("WEBP", (40, 30), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
}
