"""Folder names: modified UTF-7 on the wire (RFC 3501, 5.1.3), and what servers write that is none. Pure.

A name that does not survive decoding and encoding (a bare &, raw UTF-8 or Latin-1, UTF-7 in a form of its own) is kept
as the server wrote it. Said back, it is tried as it should be written, and then as the server may have written it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from imapclient import imap_utf7

APART = {" [raw]": "utf-8", " [Latin-1]": "latin-1"}  # behind a name whose text is another folder's, too


def decoded(name: bytes | str | int, beside: Collection[bytes] = ()) -> str:
    """The text of a name. imapclient gives a name of digits as a number.

    beside: the names that stand in the same list. Two may have one text, as R&D and R&-D: then the one that is written
    by the standard has it, else UTF-8, and the other's is that text with one of APART behind it.
    """
    raw = name if isinstance(name, bytes) else str(name).encode()
    told = _told(raw)
    ways = ways_to_write(told)
    before = ways[: ways.index(raw)] if raw in ways else []
    if not any(way in beside for way in before):
        return told
    return told + next(suffix for suffix, codec in APART.items() if _encoded(told, codec) == raw)


def _told(raw: bytes) -> str:
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
    ways = [imap_utf7.encode(name), _encoded(name, "utf-8"), _encoded(name, "latin-1")]
    ways += [_encoded(name.removesuffix(suffix), codec) for suffix, codec in APART.items() if name.endswith(suffix)]
    return list(dict.fromkeys(bytes(way) for way in ways if way is not None))


def _encoded(name: str, codec: str) -> bytes | None:
    """None where the codec has no such character."""
    with contextlib.suppress(UnicodeEncodeError):
        return name.encode(codec)
    return None
