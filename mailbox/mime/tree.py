"""A raw message as a tree of parts that point into its bytes; bounded against hostile structure. Pure.

Structure and defects are those of the standard library's parser (RFC 2045, 2046 and 5322, and its reading of what
breaks them), which costs five times the time, and many times the memory where lines are short. Nothing is copied or
decoded here but header fields: a part knows where its content begins and ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mailbox.mime import charsets, header_block, parameters
from mailbox.mime import transfer_encoding as mime_transfer_encoding

# A multipart deeper than this stays one opaque part: each level reads all of its content once more.
MAX_DEPTH = 100
MAX_PARTS = 10_000  # leaves that are listed
_MAX_TREE = 2 * MAX_PARTS  # and with the multiparts they lie in
# Lines that begin as a boundary does; each costs time, and real mails have some more than parts.
_MAX_LOOKS = 300_000
MAX_FIELDS = 20_000  # of one header
_MAX_FIELDS_IN_ALL = 200_000
# A MIME header longer than this is cut.
MAX_MIME_HEADER = 4096
MAX_HEADER = 200_000  # bytes of any field; the raw message has the rest
_CUT = frozenset({"content-type", "content-disposition", "content-transfer-encoding", "content-id"})
_OCTET_STREAM = "application/octet-stream"

# One field with its folded lines; what else the standard library takes for a line of a header. Without overlap.
_FIELD = re.compile(
    rb"([\x21-\x39\x3b-\x7e]++):([^\r\n]*+(?:(?:\r\n|\r|\n)[ \t][^\r\n]*+)*+)(?:\r\n|\r|\n|\Z)",
)
_ODD_LINE = re.compile(rb"(From (?![ \t]*:)|[ \t]|:)[^\r\n]*+(?:\r\n|\r|\n|\Z)")
_LINE_END = re.compile(rb"\r\n|\r|\n|\Z")
_BEHIND_BOUNDARY = re.compile(rb"(--)?[ \t]*+(?:\r\n|\r|\n|\Z)")
_LINE_ENDS = (10, 13)


class Part:
    """A MIME part. message/* and too deep multiparts are leaves, so that an attached message keeps its exact bytes."""

    __slots__ = (
        "_content_type",
        "_first",
        "_parameters",
        "_raw",
        "children",
        "default_type",
        "defects",
        "depth",
        "end",
        "fields",
        "longest_header",
        "start",
    )

    def __init__(self, raw: bytes, depth: int, default_type: str) -> None:
        self._raw = raw
        self.depth = depth
        self.default_type = default_type
        self.start = self.end = 0  # of the content
        self.fields: list[tuple[str, str]] = []
        self.children: list[Part] | None = None
        self.defects: list[str] = []
        self.longest_header = MAX_MIME_HEADER
        self._first: dict[str, str] | None = None
        self._content_type: str | None = None
        self._parameters: dict[str, Mapping[str, str]] = {}

    @classmethod
    def of(cls, octets: bytes, content_type: str, *, filename: str = "", content_id: str = "") -> Part:
        """A part that stands in no message by itself; its text, when it is one, is UTF-8."""
        part = cls(octets, 1, "text/plain")
        part.end = len(octets)
        part.fields = [("Content-Type", content_type), ("Content-ID", content_id)]
        if not content_id:
            part.fields.append(("Content-Disposition", "attachment"))
        part._parameters = {"content-type": {"charset": "utf-8"}, "content-disposition": {"filename": filename}}
        return part

    def get(self, name: str, otherwise: str = "") -> str:
        """The first field of this name (lower case), 8-bit text repaired, folds kept."""
        if self._first is None:
            self._first = {field.lower(): value for field, value in reversed(self.fields)}
        value = self._first.get(name)
        if value is None:
            return otherwise
        return charsets.header_text(value[: self.longest_header] if name in _CUT else value)

    @property
    def content_type(self) -> str:
        """Type and subtype, lower case; text/plain when absent or malformed (RFC 2045 section 5.2)."""
        if self._content_type is None:
            stated = self.get("content-type", self.default_type).partition(";")[0].strip().lower()
            self._content_type = stated if stated.count("/") == 1 else "text/plain"
        return self._content_type

    @property
    def says_multipart(self) -> bool:
        return self.content_type.startswith("multipart/")

    @property
    def is_opaque(self) -> bool:
        """A leaf that should have been a container: too deep."""
        return self.depth >= MAX_DEPTH and self.says_multipart

    @property
    def is_unreadable_multipart(self) -> bool:
        """Says multipart, but its boundary is absent or never found."""
        return self.children is None and self.says_multipart

    def parameter(self, header: str, name: str) -> str:
        """A parameter of a MIME header (both lower case), RFC 2231 and stray RFC 2047 encodings decoded, or ""."""
        if header not in self._parameters:
            self._parameters[header] = parameters.parameters(self.get(header))
        return self._parameters[header].get(name, "")

    def octets(self) -> tuple[bytes, bool]:
        """The part's content with its transfer encoding undone, and whether that encoding was sound."""
        if self.children is not None:
            return b"", True
        return mime_transfer_encoding.undone(self.transfer_encoding, self.encoded)

    @property
    def transfer_encoding(self) -> str:
        return self.get("content-transfer-encoding").partition(";")[0].strip().lower()

    @property
    def encoded(self) -> memoryview:
        """The content as it stands in the message."""
        return memoryview(self._raw)[self.start : self.end]


def read_tree(raw: bytes) -> Part:
    """The message as parts. Raises nothing that any bytes could cause."""
    root = _Reader(raw).part(0, len(raw), 0, "text/plain")
    if "MissingHeaderBodySeparatorDefect" in root.defects:
        readable, had_junk = header_block.readable(raw)
        if had_junk:
            root = _Reader(readable).part(0, len(readable), 0, "text/plain")
            root.defects.append("JunkInHeaderDefect")
    if root.is_unreadable_multipart and not root.is_opaque:
        root.defects.append("MultipartInvariantViolationDefect")
    return root


def read_headers(raw: bytes) -> Part:
    """The header only."""
    root = Part(raw, 0, "text/plain")
    _Reader(raw).header(root, 0, len(raw))
    if "MissingHeaderBodySeparatorDefect" in root.defects:
        readable, had_junk = header_block.readable(raw)
        if had_junk:
            root = Part(readable, 0, "text/plain")
            _Reader(readable).header(root, 0, len(readable))
    return root


def leaves(root: Part) -> Iterator[Part]:
    """The parts that hold content, in order. Without recursion."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.children is None:
            yield part
        else:
            waiting.extend(reversed(part.children))


def defects(root: Part) -> Iterator[str]:
    """The names of what is wrong with the structure, in the words of the standard library's parser."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield from part.defects
        waiting.extend(reversed(part.children or ()))


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


class _Reader:
    """One message being read, with what it may still cost."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.fields_left = _MAX_FIELDS_IN_ALL
        self.parts_left = _MAX_TREE
        self.looks_left = _MAX_LOOKS

    def part(self, start: int, end: int, depth: int, default_type: str) -> Part:
        part = Part(self.raw, depth, default_type)
        self.parts_left -= 1
        part.start, part.end = self.header(part, start, end), end
        if part.says_multipart and depth < MAX_DEPTH:
            self._divide(part)
        if depth and not part.says_multipart:
            # The line end before a boundary belongs to the boundary (RFC 2046 section 5.1.1).
            part.end = self._without_line_end(part.start, part.end)
        return part

    def header(self, part: Part, start: int, end: int) -> int:
        """Read the header fields, and return where the content begins."""
        raw, position = self.raw, start
        last = min(MAX_FIELDS, self.fields_left)
        for count in range(last + 1):
            field = _FIELD.match(raw, position, end)
            if field is None:
                odd = _ODD_LINE.match(raw, position, end)
                if odd is None:
                    break
                position = odd.end()
                if not (odd[1] == b"From " and count == 0):  # an mbox separator above the header
                    part.defects.append(_odd_defect(odd[1]))
                continue
            position = field.end()
            # Of a part, nothing but these is ever asked for.
            if part.depth == 0 or field[1][:8].lower() == b"content-":
                first, behind = field.span(2)
                if behind - first > MAX_HEADER:
                    part.defects.append("HeaderTooLong")
                value = raw[first : min(behind, first + MAX_HEADER)].decode("ascii", "surrogateescape")
                part.fields.append((field[1].decode("ascii"), value.lstrip(" \t").rstrip("\r\n")))
        else:
            part.defects.append("TooManyHeaders")
            position = header_block.end_of(raw, position, end)
        self.fields_left = max(0, self.fields_left - count)
        line_end = _LINE_END.match(raw, position, end)
        if line_end:
            return line_end.end()
        part.defects.append("MissingHeaderBodySeparatorDefect")
        return position

    def _divide(self, part: Part) -> None:
        """Find the parts between a multipart's boundaries."""
        boundary = part.parameter("content-type", "boundary").rstrip()
        if not boundary:
            part.defects.append("NoBoundaryInMultipartDefect")
            return
        if part.get("content-transfer-encoding", "8bit").lower() not in ("7bit", "8bit", "binary"):
            part.defects.append("InvalidMultipartContentTransferEncodingDefect")
        default_type = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
        begun, is_closed = -1, False
        for at, behind, is_closed in self._boundaries(b"--" + boundary.encode("utf-8", "replace"), part):
            if begun >= 0 and at > begun:
                part.children = part.children or []
                part.children.append(self.part(begun, at, part.depth + 1, default_type))
            if is_closed or self.parts_left <= 0:
                break
            begun = behind
        if begun < 0:
            part.defects.append("StartBoundaryNotFoundDefect")
            if is_closed:
                part.end = at
            return
        part.children = part.children or []
        if self.parts_left <= 0:
            part.defects.append("TooManyParts")
        elif not is_closed:
            part.children.append(self.part(begun, part.end, part.depth + 1, default_type))
            part.defects.append("CloseBoundaryNotFoundDefect")

    def _boundaries(self, mark: bytes, part: Part) -> Iterator[tuple[int, int, bool]]:
        """Where each boundary line begins and ends, and whether it closes the multipart."""
        raw, start, position = self.raw, part.start, part.start
        while self.looks_left > 0 and (at := raw.find(mark, position, part.end)) >= 0:
            position = at + len(mark)
            if at > start and raw[at - 1] not in _LINE_ENDS:
                self.looks_left -= 1
                continue
            found = _BEHIND_BOUNDARY.match(raw, position, part.end)
            if found:
                position = found.end()
                yield at, position, found[1] is not None
            else:
                self.looks_left -= 1
        if self.looks_left <= 0:
            part.defects.append("TooManyParts")

    def _without_line_end(self, start: int, end: int) -> int:
        if end > start and self.raw[end - 1] in _LINE_ENDS:
            is_pair = end - 1 > start and self.raw[end - 2 : end] == b"\r\n"
            return end - 2 if is_pair else end - 1
        return end


def _odd_defect(begin: bytes) -> str:
    if begin == b"From ":
        return "MisplacedEnvelopeHeaderDefect"
    return "InvalidHeaderDefect" if begin == b":" else "FirstHeaderLineIsContinuationDefect"
