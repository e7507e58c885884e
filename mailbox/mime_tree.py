"""A raw message as a tree of parts, by the standard library's parser, bounded against hostile structure. Pure."""

from __future__ import annotations

import binascii
import quopri
import re
from collections.abc import Iterator, Mapping
from email.errors import MessageDefect
from email.message import Message
from email.parser import BytesFeedParser
from mailbox import mime_header, mime_params, mime_text
from typing import Any

# A multipart deeper than this stays one opaque part: the parser recurses a level each, and tries every open
# boundary on every line.
MAX_DEPTH = 100
# A MIME header longer than this is cut.
MAX_MIME_HEADER = 4096
_CUT = frozenset({"content-type", "content-disposition", "content-transfer-encoding", "content-id"})
_PIECE = 65_536
_OCTET_STREAM = "application/octet-stream"


class JunkInHeaderDefect(MessageDefect):
    """Lines in the header that are no part of one, left out."""


class Part(Message):
    """A MIME part whose message/* children stay leaves, so that an attached message keeps its exact bytes.

    The parser asks a part for its type to know what lies inside: to it, message/* and too deep multiparts are opaque.
    The true type is `content_type`.
    """

    depth = 0
    longest_header = MAX_MIME_HEADER
    _first: Mapping[str, str] = {}
    _indexed = 0
    _parameters: Mapping[str, dict[str, str]] = {}  # replaced, never changed

    def attach(self, payload: Any) -> None:
        payload.depth = self.depth + 1
        super().attach(payload)

    def get(self, name: str, failobj: Any = None) -> Any:
        headers = self._headers  # type: ignore[attr-defined]
        if self._indexed != len(headers):  # the parser adds them one by one, and asks when it has them all
            self._first = {field.lower(): value for field, value in reversed(headers)}
            self._indexed = len(headers)
        wanted = name.lower()
        value = self._first.get(wanted)
        if value is None:
            return failobj
        return mime_text.header_text(value[: self.longest_header] if wanted in _CUT else value)

    @property
    def content_type(self) -> str:
        """Type and subtype, lower case; text/plain when absent or malformed (RFC 2045 section 5.2)."""
        return super().get_content_type()

    def get_content_type(self) -> str:
        stated = super().get_content_type()
        if stated.startswith("message/") or (self.depth >= MAX_DEPTH and stated.startswith("multipart/")):
            return _OCTET_STREAM
        return stated

    def get_content_maintype(self) -> str:
        return self.get_content_type().partition("/")[0]

    @property
    def is_opaque(self) -> bool:
        """A leaf that should have been a container: too deep."""
        return self.depth >= MAX_DEPTH and self.content_type.startswith("multipart/")

    @property
    def is_unreadable_multipart(self) -> bool:
        """Says multipart, but its boundary is absent or never found."""
        return not self.is_multipart() and self.content_type.startswith("multipart/")

    def parameter(self, header: str, name: str) -> str:
        """A parameter of a MIME header, RFC 2231 and stray RFC 2047 encodings decoded; "" when absent."""
        if header not in self._parameters:
            self._parameters = {**self._parameters, header: mime_params.parameters(str(self.get(header, "")))}
        return self._parameters[header].get(name, "")

    def get_param(self, param: str, failobj: Any = None, header: str = "content-type", unquote: bool = True) -> Any:
        """What the parser asks for the boundary."""
        return self.parameter(header, param.lower()) or failobj

    def octets(self) -> tuple[bytes, bool]:
        """The part's content with its transfer encoding undone, and whether that encoding was sound."""
        payload = self._payload  # type: ignore[attr-defined]  # get_payload() decodes 8-bit text lossily
        if not isinstance(payload, str):
            return b"", True
        encoded = payload.encode("ascii", "surrogateescape")
        encoding = str(self.get("Content-Transfer-Encoding", "")).split(";")[0].strip().lower()
        if encoding == "base64":
            return mime_text.decode_base64(encoded)
        if encoding == "quoted-printable":
            return quopri.decodestring(encoded), True
        if encoding in ("x-uuencode", "uuencode", "uue", "x-uue"):
            return _uudecoded(encoded)
        return encoded, True


def read_tree(raw: bytes) -> Part:
    """The message as parts. Raises nothing that any bytes could cause."""
    readable, had_junk = mime_header.readable(raw)
    root = _parsed(readable)
    if had_junk:
        root.defects = [*root.defects, JunkInHeaderDefect()]
    return root


def read_headers(raw: bytes) -> Part:
    """The header only."""
    return _parsed(mime_header.header_block(mime_header.readable(raw)[0]))


def _parsed(raw: bytes) -> Part:
    """Fed in pieces: at once, the parser takes four bytes of memory for each of the message, and then its lines."""
    parser: BytesFeedParser[Part] = BytesFeedParser(Part)
    for start in range(0, len(raw), _PIECE):
        parser.feed(raw[start : start + _PIECE])
    return parser.close()


def leaves(root: Part) -> Iterator[Part]:
    """The parts that hold content, in order. Without recursion."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.is_multipart():
            waiting.extend(reversed(part.get_payload()))  # type: ignore[arg-type]
        else:
            yield part


def defects(root: Part) -> Iterator[str]:
    """The names of what the standard library's parser found wrong, each once for a part."""
    for part in root.walk():
        for defect in part.defects:
            yield type(defect).__name__


def raw_section(raw: bytes, subtype: bytes) -> Part | None:
    """The first section that says `Content-Type: text/<subtype>`, where the structure around it cannot be read.

    It begins with its own header lines and ends at the next line that looks like a boundary.
    """
    stated = re.search(rb"^content-type[ \t]*:[ \t\r\n]*text/" + subtype + rb"\b", raw, re.I | re.M)
    if stated is None:
        return None
    start = raw.rfind(b"\n--", 0, stated.start())
    start = raw.find(b"\n", start + 1) + 1 if start >= 0 else stated.start()
    end = re.compile(rb"^--\S", re.M).search(raw, stated.end())
    return read_tree(raw[min(start, stated.start()) : end.start() if end else len(raw)])


def _uudecoded(encoded: bytes) -> tuple[bytes, bool]:
    decoded: list[bytes] = []
    inside = sound = False
    for line in encoded.splitlines():
        if not inside:
            inside = line.startswith(b"begin ")
        elif line.strip() in (b"end", b"`", b""):
            sound = True
            if line.strip() == b"end":
                break
        else:
            try:
                decoded.append(binascii.a2b_uu(line))
            except binascii.Error:
                # Encoders pad lines with more than the count says: https://bugs.python.org/issue1467619
                count = (((line[0] - 32) & 63) * 4 + 5) // 3
                try:
                    decoded.append(binascii.a2b_uu(line[:count]))
                except binascii.Error:
                    return b"".join(decoded) or encoded, False
    return (b"".join(decoded), sound) if inside else (encoded, False)
