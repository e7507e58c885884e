"""Characters of Big5 and GBK that the Encoding Standard has and Python's codecs lack: error handlers for them. Pure.

The euro is among them: 0x80 in GBK, as Windows writes it, and A3E1 in Big5.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from itertools import chain

_MISSING: Mapping[str, Mapping[bytes, str]] = {
    "big5hkscs": {
        **{b"\xa3\xe1": "€", b"\xc6\xcf": "に", b"\xc6\xd3": "は", b"\xc6\xd5": "ぱ", b"\xc6\xd7": "び"},
        **{b"\xc6\xde": "ぺ", b"\xc6\xdf": "ほ"},
    },
    "gb18030": {b"\x80": "€"},
}
_LETTERS = dict(chain.from_iterable(letters.items() for letters in _MISSING.values()))


def handler(codec: str, errors: str) -> str:
    """The error handler to decode with: one that knows the codec's missing characters, else `errors`."""
    return f"chinese.{errors}" if codec in _MISSING else errors


def _strict(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        for length in (2, 1):
            octets = error.object[error.start : error.start + length]
            if octets in _LETTERS:
                return _LETTERS[octets], error.start + length
    raise error


def _replace(error: UnicodeError) -> tuple[str, int]:
    try:
        return _strict(error)
    except UnicodeDecodeError as unknown:
        return "\ufffd", unknown.end


codecs.register_error("chinese.strict", _strict)
codecs.register_error("chinese.replace", _replace)
