"""Reads the structure of a message: header fields and the parts between boundary lines. Pure.

RFC 5322 section 2.2 (fields), RFC 2046 section 5.1 (multipart). Damaged messages are read as the standard library's
parser reads them. Beyond that, it reads a multipart that is transfer-encoded as a whole (forbidden by RFC 2045 section
6.4), one with a missing or a wrong boundary, one with the boundary of its parent, and one without parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailbox.mime import damaged, header_block
from mailbox.mime.part import MAX_DEPTH, Part

MAX_PARTS = 10_000  # leaves that are listed
_MAX_TREE = 2 * MAX_PARTS  # leaves and multiparts
# Lines that begin like a boundary. Each costs time; in real mails there are only a few more than parts.
_MAX_LOOKS = 300_000
MAX_FIELDS = 20_000  # of one header
_MAX_FIELDS_IN_ALL = 200_000
MAX_HEADER = 200_000  # bytes of any field; the raw message has the rest

# A field with its folded lines, and other lines that the standard library accepts in a header. The two do not overlap.
_FIELD = re.compile(
    rb"([\x21-\x39\x3b-\x7e]++):([^\r\n]*+(?:(?:\r\n|\r|\n)[ \t][^\r\n]*+)*+)(?:\r\n|\r|\n|\Z)",
)
_ODD_LINE = re.compile(rb"(From (?![ \t]*:)|[ \t]|:)[^\r\n]*+(?:\r\n|\r|\n|\Z)")
_LINE_END = re.compile(rb"\r\n|\r|\n|\Z")
# A blank before the closing dashes belongs to a boundary that ends in one, which RFC 2046 section 5.1.1 forbids.
_BEHIND_BOUNDARY = re.compile(rb"( (?=--))?+(--)?[ \t]*+(?:\r\n|\r|\n|\Z)")
_RICH = ("text/html", "multipart/related")
_LINE_ENDS = (10, 13)
_SURE_MARK = 10  # length from which a boundary hardly occurs in text by chance


@dataclass
class _Budget:
    """The work that may still be spent on one message."""

    fields_left: int = _MAX_FIELDS_IN_ALL
    parts_left: int = _MAX_TREE
    looks_left: int = _MAX_LOOKS
    decodings_left: int = 3  # of multiparts that are encoded as a whole


class Reader:
    """Reads the parts in `raw`: a message, or the decoded content of a multipart that is encoded as a whole."""

    def __init__(self, raw: bytes, budget: _Budget | None = None) -> None:
        self.raw = raw
        self.budget = budget or _Budget()
        self.encoding = ""  # transfer encoding stated by the multiparts around the current part

    def part(self, start: int, end: int, depth: int, default_type: str, around: tuple[str, int] = ("", 0)) -> Part:
        """Read the part in raw[start:end], with all parts in it.

        around: boundary and end of the multipart that contains this part; ("", 0) outside of one.
        """
        part = Part(self.raw, depth, default_type)
        self.budget.parts_left -= 1
        part.start, part.end = self.header(part, start, end), end
        if depth == 0:
            self._mend_root(part)
        elif not part.fields:
            self._read_cut_fields(part)
        if part.says_multipart and part.children is None and depth < MAX_DEPTH:
            if around[0] and part.parameter("content-type", "boundary").rstrip() == around[0]:
                part.end = around[1]  # the following boundary lines belong to this part, up to the first closing one
                part.defects.append("BoundaryOfParentDefect")
            self._divide(part)
        if depth and not part.says_multipart:
            # The line end before a boundary belongs to the boundary (RFC 2046 section 5.1.1).
            part.end = self._without_line_end(part.start, part.end)
            part.inherit_encoding(self.encoding)
        return part

    def header(self, part: Part, start: int, end: int) -> int:
        """Read the header fields of raw[start:end] into `part`; return the offset at which the content begins."""
        raw, position = self.raw, start
        last = min(MAX_FIELDS, self.budget.fields_left)
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
            # Of parts below the root, only Content-* fields are used.
            if part.depth == 0 or field[1][:8].lower() == b"content-":
                first, behind = field.span(2)
                if behind - first > MAX_HEADER:
                    part.defects.append("HeaderTooLong")
                value = raw[first : min(behind, first + MAX_HEADER)].decode("ascii", "surrogateescape")
                part.fields.append((field[1].decode("ascii"), value.lstrip(" \t").rstrip("\r\n")))
        else:
            part.defects.append("TooManyHeaders")
            position = header_block.end_of(raw, position, end)
        self.budget.fields_left = max(0, self.budget.fields_left - count)
        line_end = _LINE_END.match(raw, position, end)
        if line_end:
            return line_end.end()
        part.defects.append("MissingHeaderBodySeparatorDefect")
        return position

    def _mend_root(self, part: Part) -> None:
        """Repair the root: find MIME fields below an empty line in the header, and parts whose boundary no field
        states."""
        if not part.get("content-type"):
            self._read_cut_fields(part)
        if part.content_type == "text/plain":
            boundary = damaged.unstated_boundary(self.raw, part.start, part.end)
            if boundary and self._split(part, boundary):
                kinds = [child.content_type for child in part.children or ()]
                is_choice = len(kinds) == 2 and kinds[0] == "text/plain" and kinds[1] in _RICH
                part.treat_as("multipart/alternative" if is_choice else "multipart/mixed")
                part.defects.append("BoundaryGuessedDefect")

    def _read_cut_fields(self, part: Part) -> None:
        """Read MIME fields that an empty line separates from their header."""
        fields = damaged.fields_in_content(self.raw, part.start, part.end)
        if fields is not None:
            part.start = self.header(part, fields, part.end)
            part.forget_fields()
            part.defects.append("SplitHeaderDefect")

    def _divide(self, part: Part) -> None:
        """Read a multipart's parts by its boundary; without any, _repair() it."""
        boundary = part.parameter("content-type", "boundary").rstrip()
        encoding = part.transfer_encoding or "8bit"
        if not boundary:
            part.defects.append("NoBoundaryInMultipartDefect")
        elif encoding not in ("7bit", "8bit", "binary"):
            part.defects.append("InvalidMultipartContentTransferEncodingDefect")
        is_encoded = encoding == "quoted-printable" and damaged.begins_encoded(self.raw, part.start, part.end, boundary)
        if boundary and not is_encoded and self._split(part, boundary):
            return
        if boundary:
            part.defects.append("StartBoundaryNotFoundDefect")
        if part.children is None and part.start < part.end:
            self._repair(part, boundary, encoding)

    def _repair(self, part: Part, boundary: str, encoding: str) -> None:
        """Read a multipart whose boundary was not found: it is encoded as a whole, uses another boundary, or has no
        parts."""
        inside = self
        if encoding in ("base64", "quoted-printable") and self.budget.decodings_left > 0:
            part.set_content(part.octets()[0])
            part.defects.append("EncodedMultipartDefect")
            inside = Reader(bytes(part.encoded), self.budget)
            self.budget.decodings_left -= 1
            if boundary and inside._split(part, boundary):
                return
        found = damaged.boundary_in(inside.raw, part.start, part.end)
        if found and inside._split(part, found):
            part.defects.append("BoundaryGuessedDefect")
            return
        part.treat_as(damaged.type_of_text(inside.raw, part.start, part.end))
        part.defects.append("MultipartWithoutPartsDefect")

    def _split(self, part: Part, boundary: str) -> bool:
        """Read the parts between the lines of this boundary. Returns False when there are none."""
        around, self.encoding = self.encoding, part.transfer_encoding or self.encoding
        try:
            return self._split_at(part, boundary)
        finally:
            self.encoding = around

    def _split_at(self, part: Part, boundary: str) -> bool:
        default_type = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
        lines = _BoundaryLines(self, b"--" + damaged.octets_of(boundary), part)
        begun, is_closed, children = -1, False, part.children
        while (line := lines.following()) is not None:
            at, behind, is_closed = line
            if begun == -1 and damaged.begins_part(
                self.raw, part.start, at
            ):  # the boundary line above the first part is missing
                part.defects.append("BoundaryGuessedDefect")
                begun = part.start
            if begun >= 0 and at > begun:
                children = children or []
                children.append(self.part(begun, at, part.depth + 1, default_type, (boundary, part.end)))
                if children[-1].end > at:  # the child has the same boundary and has read this line as its own
                    lines.position, begun, is_closed = children[-1].end, -2, False
                    continue
            if self.budget.parts_left <= 0:
                break
            if is_closed and (begun == -1 or not lines.go_on_behind(behind)):
                break
            begun = -2 if is_closed else behind
        part.children = children
        if begun == -1:
            if is_closed:
                part.end = at
            return False
        part.children = children or []
        if self.budget.parts_left <= 0:
            part.defects.append("TooManyParts")
        elif not is_closed:
            if begun >= 0:
                part.children.append(self.part(begun, part.end, part.depth + 1, default_type))
            part.defects.append("CloseBoundaryNotFoundDefect")
        elif "BoundaryOfParentDefect" in part.defects:
            part.end = lines.position
        return True

    def _without_line_end(self, start: int, end: int) -> int:
        if end > start and self.raw[end - 1] in _LINE_ENDS:
            is_pair = end - 1 > start and self.raw[end - 2 : end] == b"\r\n"
            return end - 2 if is_pair else end - 1
        return end


class _BoundaryLines:
    """Finds the boundary lines of one multipart, in order."""

    def __init__(self, reader: Reader, mark: bytes, part: Part) -> None:
        self._reader, self._mark, self._part = reader, mark, part
        self.position = part.start

    def following(self) -> tuple[int, int, bool] | None:
        """Begin and end of the next line, and whether it closes the multipart; None when there is no further one."""
        reader, part = self._reader, self._part
        while reader.budget.looks_left > 0 and (at := reader.raw.find(self._mark, self.position, part.end)) >= 0:
            self.position = at + len(self._mark)
            found = _BEHIND_BOUNDARY.match(reader.raw, self.position, part.end)
            is_on_line = at == part.start or reader.raw[at - 1] in _LINE_ENDS
            if found and not is_on_line and self._is_meant(at, found):
                part.defects.append("BoundaryGuessedDefect")
                is_on_line = True
            if found and is_on_line:
                if found[1]:
                    part.defects.append("BoundaryGuessedDefect")
                self.position = found.end()
                return at, self.position, found[2] is not None
            reader.budget.looks_left -= 1
        if reader.budget.looks_left <= 0:
            part.defects.append("TooManyParts")
        return None

    def _is_meant(self, at: int, found: re.Match[bytes]) -> bool:
        """Whether a boundary that follows text in the same line is a boundary: some scripts forget the line end.

        It is not if the line itself begins with "--": then it is the line of a longer boundary with the same end.
        """
        raw, part = self._reader.raw, self._part
        line = max(raw.rfind(b"\n", max(part.start, at - 1000), at) + 1, part.start)
        if raw[line : line + 2] == b"--":
            return False
        is_close = found[2] is not None and len(self._mark) >= _SURE_MARK
        return is_close or (found[2] is None and damaged.begins_part(raw, found.end(), part.end))

    def go_on_behind(self, behind: int) -> bool:
        """Whether more parts follow a closing line, which then closed an inner multipart with the same boundary.

        If so, `position` is moved to the next line above a part.
        """
        reader, part = self._reader, self._part
        if "BoundaryOfParentDefect" in part.defects or reader.raw.find(self._mark, behind, part.end) < 0:
            return False
        line = self.following()
        while line is not None and not damaged.begins_part(reader.raw, line[1], part.end):
            line = self.following()
        if line is None:
            self.position = behind
            return False
        self.position = line[0]
        part.defects.append("PartsBehindCloseDefect")
        return True


def _odd_defect(begin: bytes) -> str:
    if begin == b"From ":
        return "MisplacedEnvelopeHeaderDefect"
    return "InvalidHeaderDefect" if begin == b":" else "FirstHeaderLineIsContinuationDefect"
