"""A mail as octets on the wire: line ends, dot-stuffing, and the cut before its end. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

CHUNK = 64 * 1024


def with_crlf(content: bytes) -> bytes:
    """The content with CRLF line ends only, and one at its end: bare CR or LF would allow SMTP smuggling."""
    if not content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def dot_stuffed(content: bytes) -> bytes:
    """with_crlf() and dot-stuffing: a dot at the start of a line is doubled (RFC 5321 4.5.2)."""
    content = with_crlf(content)
    if content.startswith(b"."):
        content = b"." + content
    return content.replace(b"\r\n.", b"\r\n..")


def body_and_end(stuffed: bytes) -> tuple[memoryview, bytes]:
    """Cut dot-stuffed octets before their last line. The end is that line with CRLF.CRLF, to be sent by one write.

    Cisco PIX firewalls mishandle an end that is split between packets: the connection is lost although the server has
    the mail, which is then sent again and again (Postfix: smtp_pix_workarounds).
    """
    cut = stuffed.rfind(b"\r\n", 0, len(stuffed) - 2)
    cut = 0 if cut < 0 else cut + 2
    return memoryview(stuffed)[:cut], stuffed[cut:] + b".\r\n"


def chunks(octets: memoryview) -> Iterator[memoryview]:
    """The octets in pieces of at most CHUNK, without copying."""
    return (octets[start : start + CHUNK] for start in range(0, len(octets), CHUNK))
