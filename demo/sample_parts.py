"""Small real files for the sample mail, made by code: a PDF, pictures, a calendar invitation."""

from __future__ import annotations

import struct
import zlib
from datetime import datetime, timedelta


def pdf(lines: list[str]) -> bytes:
    """A PDF of one A4 page with these lines of ASCII text."""
    shown = " T* ".join(
        "(" + line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") + ") Tj" for line in lines
    )
    stream = f"BT /F1 12 Tf 16 TL 72 760 Td {shown} ET".encode("ascii")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    written = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return written + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, table, len(objects) + 1, len(written))
    )


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """A picture: the colour, fading to white from left to right."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    fade = [tuple(part + (255 - part) * x // max(width - 1, 1) for part in colour) for x in range(width)]
    row = b"\x00" + b"".join(bytes(pixel) for pixel in fade)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * height))
        + chunk(b"IEND", b"")
    )


def invitation(summary: str, start: datetime, organizer: str, attendee: str) -> str:
    """A meeting of an hour as an iTIP request (RFC 5546)."""
    stamp = "%Y%m%dT%H%M%SZ"
    lines = [
        "BEGIN:VCALENDAR",
        "PRODID:-//PRX-Email//Demo//EN",
        "VERSION:2.0",
        "METHOD:REQUEST",
        "BEGIN:VEVENT",
        f"UID:{start:%Y%m%d}-meeting@demo.example",
        f"DTSTAMP:{start - timedelta(days=3):{stamp}}",
        f"DTSTART:{start:{stamp}}",
        f"DTEND:{start + timedelta(hours=1):{stamp}}",
        f"SUMMARY:{summary}",
        f"ORGANIZER:mailto:{organizer}",
        f"ATTENDEE;RSVP=TRUE:mailto:{attendee}",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return "\r\n".join(lines) + "\r\n"
