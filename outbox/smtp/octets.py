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


def chunks(content: bytes) -> Iterator[memoryview]:
    view = memoryview(content)
    return (view[start : start + CHUNK] for start in range(0, len(view), CHUNK))
