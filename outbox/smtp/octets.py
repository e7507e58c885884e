"""A mail as the octets that go out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

CHUNK = 64 * 1024


def with_crlf(content: bytes) -> bytes:
    """CRLF line ends, and one at the end: a bare CR or LF is how mails are smuggled, none goes out."""
    if not content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def dot_stuffed(content: bytes) -> bytes:
    """CRLF line ends, a dot doubled at a line's start (RFC 5321 4.5.2), CRLF at the end."""
    content = with_crlf(content)
    if content.startswith(b"."):
        content = b"." + content
    return content.replace(b"\r\n.", b"\r\n..")


def body_and_end(stuffed: bytes) -> tuple[memoryview, bytes]:
    """Cut dot-stuffed octets before their last line; the end is that line with CRLF.CRLF, which leaves in one write.

    A Cisco PIX firewall that sees the end of a mail split between packets swallows it: the server then answers a mail
    that the client never finished, and it is sent again and again.
    """
    cut = stuffed.rfind(b"\r\n", 0, len(stuffed) - 2)
    cut = 0 if cut < 0 else cut + 2
    return memoryview(stuffed)[:cut], stuffed[cut:] + b".\r\n"


def chunks(octets: memoryview) -> Iterator[memoryview]:
    return (octets[start : start + CHUNK] for start in range(0, len(octets), CHUNK))
