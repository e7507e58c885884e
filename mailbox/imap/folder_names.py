"""Folder names: modified UTF-7 on the wire (RFC 3501, 5.1.3), and what servers write that is none. Pure.

A name that does not survive decoding and encoding (a bare &, raw UTF-8 or Latin-1, UTF-7 in a form of its own) is kept
as the server wrote it. Said back, it is tried as it should be written, and then as the server may have written it.
"""

from __future__ import annotations

import contextlib

from imapclient import imap_utf7


def decoded(name: bytes | str | int) -> str:
    """imapclient gives a name of digits as a number."""
    raw = name if isinstance(name, bytes) else str(name).encode()
    try:
        told = str(imap_utf7.decode(raw))
        if raw.isascii() and imap_utf7.encode(told) == raw:
            return told.replace("\0", "\ufffd")
    except (ValueError, UnicodeError):
        pass
    try:
        return raw.decode("utf-8").replace("\0", "\ufffd")
    except UnicodeDecodeError:
        return raw.decode("latin-1").replace("\0", "\ufffd")


def ways_to_write(name: str) -> list[bytes]:
    """The bytes that may stand for this name on the server, the standard's first."""
    ways = [imap_utf7.encode(name), name.encode("utf-8")]
    with contextlib.suppress(UnicodeEncodeError):
        ways.append(name.encode("latin-1"))
    return list(dict.fromkeys(bytes(way) for way in ways))
