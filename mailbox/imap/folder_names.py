"""Decodes and encodes folder names: modified UTF-7 (RFC 3501, 5.1.3), and the deviations of servers. Pure.

A name that is not the same after decoding and encoding (a bare &, raw UTF-8 or Latin-1, non-canonical UTF-7) is read
as UTF-8 or Latin-1 instead. To open such a folder, the client tries modified UTF-7 first, then the other encodings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from imapclient import imap_utf7

APART = {" [raw]": "utf-8", " [Latin-1]": "latin-1"}  # appended to a text that another folder has, too -> encoding


def decoded(name: bytes | str | int, beside: Collection[bytes] = ()) -> str:
    """The text of a name. An int is a name of digits, as imapclient returns it.

    beside: raw names in the same list. Two of them may decode to one text, as R&D and R&-D. Then the name in modified
    UTF-7 keeps the text, else the one in UTF-8; the other gets a suffix of APART.
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
    """The possible encodings of this name on the server, modified UTF-7 first."""
    ways = [imap_utf7.encode(name), _encoded(name, "utf-8"), _encoded(name, "latin-1")]
    ways += [_encoded(name.removesuffix(suffix), codec) for suffix, codec in APART.items() if name.endswith(suffix)]
    return list(dict.fromkeys(bytes(way) for way in ways if way is not None))


def _encoded(name: str, codec: str) -> bytes | None:
    """The encoded name; None if the codec lacks one of its characters."""
    with contextlib.suppress(UnicodeEncodeError):
        return name.encode(codec)
    return None
