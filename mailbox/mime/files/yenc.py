"""Extracts files in yEnc (http://www.yenc.org/yenc-draft.1.3.txt), an 8-bit encoding that news readers use.

Pure, linear in time for any bytes.
"""

from __future__ import annotations

import re

MARK = b"=ybegin "
_BEGIN = re.compile(
    rb"^=ybegin (?=[^\r\n]{0,200}?\bsize=\d)[^\r\n]{0,200}?\bname=([^\r\n]{1,300})\r?\n(?:=ypart [^\r\n]{0,200}\r?\n)?",
    re.M,
)
_END = re.compile(rb"^=yend[^\r\n]{0,300}(?:\r?\n|\Z)", re.M)
_ESCAPE = re.compile(rb"=(.)", re.S)
_SHIFTED = bytes((code - 42) % 256 for code in range(256))
_UNESCAPED = {bytes((code,)): bytes(((code - 64) % 256,)) for code in range(256)}


def apart(text: bytes, most: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The text without its embedded files, and name and bytes of each, at most `most`. A file without its =yend line
    stays in the text."""
    kept: list[bytes] = []
    files: list[tuple[bytes, bytes]] = []
    position = 0
    while MARK in text and len(files) < most:
        begin = _BEGIN.search(text, position)
        end = _END.search(text, begin.end()) if begin else None
        if begin is None or end is None:
            break
        files.append((begin[1].strip(b" \t\"'"), _decoded(text[begin.end() : end.start()])))
        kept.append(text[position : begin.start()])
        position = end.end()
    return b"".join((*kept, text[position:])), files


def _decoded(code: bytes) -> bytes:
    code = code.translate(None, delete=b"\r\n")
    return _ESCAPE.sub(lambda escape: _UNESCAPED[escape[1]], code).translate(_SHIFTED)
