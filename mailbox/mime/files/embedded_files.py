"""Extracts files embedded in plain text by uuencode (POSIX), BinHex 4.0 (RFC 1741) or yEnc.

Pure, linear in time for any bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from mimetypes import MimeTypes

from mailbox.mime import base64_content, charsets, transfer_encoding
from mailbox.mime.files import binhex, yenc

MARKS = (b"begin ", b"begin-base64 ", b"BinHex 4", yenc.MARK)
MAX_FILES = 50

_BEGIN = re.compile(rb"^begin(?:-base64)? [0-7]{3,6} ([^\r\n]{1,255}?)[ \t]*+\r?\n", re.M)
_END = re.compile(rb"^end[ \t]*+\r?$\n?", re.M)
_BASE64_END = re.compile(rb"^====[ \t]*+\r?$\n?", re.M)
_UU_LINE = re.compile(rb"[\x20-\x60]{1,100}[ \t]*+\r?\n")
_UU_TO_END = re.compile(rb"(?:[\x20-\x60]{0,100}+[ \t]*+\r?\n|(?!))++end[ \t]*+\r?$", re.M)
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/=]{2,100}[ \t]*+\r?\n")
_UU_LINES = re.compile(rb"(?:[\x21-\x60][\x20-\x60]{4,90}[ \t]*+(?:\r?\n|\Z)|(?!))*+`?+(?:\r?\n|\Z|(?!))?+")
_BASE64_LINES = re.compile(rb"(?:[A-Za-z0-9+/=]{2,100}[ \t]*+(?:\r?\n|\Z)|(?!))*+")
_HQX = re.compile(rb"^[^\r\n]{0,80}BinHex 4[^\r\n]{0,80}\r?\n\s{0,20}(:[^:\x00-\x08\x80-\xff]++:)[ \t]*+\r?\n?", re.M)
_KNOWN_TYPES = MimeTypes(filenames=())  # without the machine's list, so that types are the same on every machine


@dataclass(frozen=True)
class EmbeddedFile:
    """One file, decoded. Damaged BinHex is kept encoded, so that a tool for it may try."""

    filename: str
    content_type: str
    octets: bytes


def apart(text: bytes, charset: str = "") -> tuple[bytes, list[EmbeddedFile]]:
    """The text without embedded files, and the files. charset: of the text and of the file names."""
    kept: list[bytes] = []
    files: list[EmbeddedFile] = []
    position = search_from = 0
    while len(files) < MAX_FILES and (begin := _BEGIN.search(text, search_from)):
        search_from = begin.end()
        if not _is_code(text, begin):
            continue
        end = _end_of(text, begin)
        octets, _ = _decoded(text, begin, end)
        name = charsets.decode_words(charsets.decode_text(begin[1].strip(b" \t\"'"), charset)[0])
        files.append(EmbeddedFile(name, _type_of(name), octets))
        kept.append(text[position : begin.start()])
        position = search_from = end[1]
    rest, encoded = yenc.apart(b"".join((*kept, text[position:])), MAX_FILES - len(files))
    for stated, octets in encoded:
        name = charsets.decode_words(charsets.decode_text(stated, charset)[0])
        files.append(EmbeddedFile(name, _type_of(name), octets))
    in_binhex = list(islice(_HQX.finditer(rest), MAX_FILES - len(files)))
    files += [_from_binhex(found, number) for number, found in enumerate(in_binhex, len(files) + 1)]
    if in_binhex:
        rest = _HQX.sub(b"", rest, count=len(in_binhex))
    return (rest if files else text), files


def _from_binhex(found: re.Match[bytes], number: int) -> EmbeddedFile:
    file = binhex.read(found[1])
    if file is None:
        return EmbeddedFile(f"binhex-{number}.hqx", "application/mac-binhex40", found[0])
    return EmbeddedFile(file.filename, _type_of(file.filename), file.octets)


def _type_of(filename: str) -> str:
    return _KNOWN_TYPES.guess_type(filename)[0] or "application/octet-stream"


def _end_of(text: bytes, begin: re.Match[bytes]) -> tuple[int, int]:
    """The end of the code, and the end of the line that closes it. Both are the end of the last line of code if the
    closing line is missing, as in a truncated mail."""
    is_base64 = begin[0].startswith(b"begin-base64")
    if end := (_BASE64_END if is_base64 else _END).search(text, begin.end()):
        return end.start(), end.end()
    code = _BASE64_LINES.match(text, begin.end()) if is_base64 else _UU_LINES.match(text, begin.end())
    assert code
    return code.end(), code.end()


def _decoded(text: bytes, begin: re.Match[bytes], end: tuple[int, int]) -> tuple[bytes, bool]:
    if begin[0].startswith(b"begin-base64"):
        return base64_content.decode(text[begin.end() : end[0]])
    return transfer_encoding.undone("x-uuencode", memoryview(text)[begin.start() : end[1]])


def _is_code(text: bytes, begin: re.Match[bytes]) -> bool:
    """Whether the first line is code of the length that it states, as a sentence may also look like a "begin" line."""
    if begin[0].startswith(b"begin-base64"):
        return _BASE64_LINE.match(text, begin.end()) is not None
    line = _UU_LINE.match(text, begin.end())
    if line is None:
        return False
    code = line[0].rstrip(b"\r\n")
    stated = ((code[0] - 32) & 63) if code else 0
    if stated == 0:  # an empty file, if "end" follows; else a sentence above a blank line
        return _END.match(text, line.end()) is not None
    if len(code) - 1 >= (stated * 8 + 5) // 6:
        return True
    # Mail programs take spaces off the end of a line, which are zeros in code. No sentence is without small letters.
    return _UU_TO_END.match(text, begin.end()) is not None
