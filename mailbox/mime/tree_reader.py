"""Reads the structure of a message: header fields and the parts between boundary lines. Pure.

RFC 5322 section 2.2 (fields), RFC 2046 section 5.1 (multipart). Damaged messages are read as the standard library's
parser reads them. Beyond that, it reads a multipart that is transfer-encoded as a whole (forbidden by RFC 2045 section
6.4), one with a missing or a wrong boundary, one with the boundary of its parent, and one without parts.
"""

from __future__ import annotations

from mailbox.mime import damaged, field_lines, parameters
from mailbox.mime.boundary_lines import MAX_PARTS, BoundaryLines, Budget
from mailbox.mime.part import MAX_DEPTH, MAX_MIME_HEADER, Part

__all__ = ["MAX_PARTS", "Reader"]

_WITH_ENCODING = ("application/", "audio/", "image/", "video/", "text/plain", "text/html")
_MESSAGES = ("message/rfc822", "message/global")
_HEADER_LOOKED_AT = 20_000  # bytes
Around = tuple[tuple[str, int], ...]  # boundary and end of each multipart around a part
_RICH = ("text/html", "multipart/related")
_LINE_ENDS = (10, 13)


class Reader:
    """Reads the parts in `raw`: a message, or the decoded content of a multipart that is encoded as a whole."""

    def __init__(self, raw: bytes, budget: Budget | None = None) -> None:
        self.raw = raw
        self.budget = budget or Budget()
        self.encoding = ""  # transfer encoding stated by the multiparts around the current part

    def part(self, start: int, end: int, depth: int, default_type: str, around: Around = ()) -> Part:
        """Read the part in raw[start:end], with all parts in it.

        around: boundary and end of each multipart that contains this part, the innermost last.
        """
        part = Part(self.raw, depth, default_type)
        self.budget.parts_left -= 1
        part.start, part.end = field_lines.read(self.raw, part, start, end, self.budget), end
        if depth == 0:
            self._mend_root(part)
        elif not part.fields:
            self._read_cut_fields(part)
        if part.children is None and part.content_type.startswith(_WITH_ENCODING):
            self._read_cut_fields(part)
        if part.says_multipart and part.children is None and depth < MAX_DEPTH:
            self._divide(part, around)
        elif around and part.content_type in _MESSAGES:
            self._extend_message(part, around)
        if depth and not part.says_multipart:
            # The line end before a boundary belongs to the boundary (RFC 2046 section 5.1.1).
            part.end = self._without_line_end(part.start, part.end)
            part.inherit_encoding(self.encoding)
        part.choose_encoding()
        return part

    def _mend_root(self, part: Part) -> None:
        """Repair the root: find MIME fields below an empty line in the header, and parts whose boundary no field
        states."""
        if not part.get("content-type"):
            self._read_cut_fields(part)
        if part.content_type.startswith("text/") and self._read_by_other_type(part):
            return
        if part.content_type == "text/plain":
            boundary = damaged.unstated_boundary(self.raw, part.start, part.end)
            if boundary and self._split(part, boundary):
                kinds = [child.content_type for child in part.children or ()]
                is_choice = len(kinds) == 2 and kinds[0] == "text/plain" and kinds[1] in _RICH
                part.treat_as("multipart/alternative" if is_choice else "multipart/mixed")
                part.defects.append("BoundaryGuessedDefect")

    def _read_by_other_type(self, part: Part) -> bool:
        """Read a message by a second Content-Type that states a multipart whose boundary lines are there: programs add
        one to a header that has one. Returns False for any other message."""
        for other in part.others("content-type"):
            boundary = parameters.parameters(other[:MAX_MIME_HEADER]).get("boundary", "").rstrip()
            stated = other.partition(";")[0].strip().lower()
            if boundary and stated.startswith("multipart/") and self._split(part, boundary):
                part.treat_as(stated)
                part.defects.append("BoundaryGuessedDefect")
                return True
        return False

    def _read_cut_fields(self, part: Part) -> None:
        """Read MIME fields that an empty line separates from their header: all of them, or those behind its first."""
        has_fields = bool(part.get("content-type"))
        if has_fields and part.get("content-transfer-encoding"):
            return
        fields = damaged.fields_in_content(self.raw, part.start, part.end, has_fields=has_fields)
        if fields is not None:
            part.start = field_lines.read(self.raw, part, fields, part.end, self.budget)
            part.forget_fields()
            part.defects.append("SplitHeaderDefect")

    def _extend_message(self, part: Part, around: Around) -> None:
        """Give an attached message that uses the boundary of a multipart around it all of its own parts."""
        mark = damaged.octets_of(around[-1][0])
        if self.raw.find(mark, part.start, min(part.end, part.start + _HEADER_LOOKED_AT)) < 0:
            return
        if self.budget.searches_left > 0:
            self.budget.searches_left -= 1
            inner = self.part(part.start, part.end, part.depth, "text/plain", around)
            if inner.end > part.end:
                part.end = inner.end
                part.defects.append("BoundaryOfParentDefect")

    def _extend(self, part: Part, boundary: str, around: Around) -> None:
        """Extend a multipart with the boundary of one around it: the following boundary lines belong to this part, up
        to the first closing one.

        So do lines of a boundary that is the other one and "--", which look like the closing ones of the other.
        """
        base = boundary.removesuffix("--")
        for number, (other, end) in enumerate(reversed(around)):
            if boundary == other or base == other:
                ends = [end if boundary == other else self._next_line(other, part.end, end, opening=True)]
                between = around[len(around) - number :]
                part.end = min(ends + [self._next_line(closer, part.end, end) for closer, _ in between])
                part.defects.append("BoundaryOfParentDefect")
                return

    def _extend_around(self, part: Part, end: int, around: Around) -> None:
        """Extend a multipart of which a part has the boundary of one further out, and so ends behind this one's end: up
        to the next line of that boundary."""
        if end > part.end:
            found = next(((other, outer) for other, outer in reversed(around) if outer >= end), None)
            part.end = self._next_line(found[0], end, found[1]) if found else end
            part.defects.append("BoundaryOfParentDefect")

    def _next_line(self, boundary: str, start: int, end: int, *, opening: bool = False) -> int:
        """The position of the next line of this boundary, with `opening` of the next that does not close it; `end`
        without one."""
        if self.budget.searches_left <= 0:
            return end
        self.budget.searches_left -= 1
        within = Part(self.raw, 1, "")
        within.start, within.end = start, end
        lines = BoundaryLines(self.raw, self.budget, b"--" + damaged.octets_of(boundary), within)
        while (line := lines.following()) is not None and opening and line[2]:
            pass
        return line[0] if line else end

    def _divide(self, part: Part, around: Around) -> None:
        """Read a multipart's parts by its boundary; without any, _repair() it."""
        boundary = part.parameter("content-type", "boundary").rstrip()
        if boundary:
            self._extend(part, boundary, around)
        encoding = part.transfer_encoding or "8bit"
        if not boundary:
            part.defects.append("NoBoundaryInMultipartDefect")
        elif encoding not in ("7bit", "8bit", "binary"):
            part.defects.append("InvalidMultipartContentTransferEncodingDefect")
        is_encoded = encoding == "quoted-printable" and damaged.begins_encoded(self.raw, part.start, part.end, boundary)
        if boundary and not is_encoded and self._split(part, boundary, around):
            return
        if boundary:
            part.defects.append("StartBoundaryNotFoundDefect")
        if part.children is None and part.start < part.end:
            self._repair(part, boundary, encoding, around)

    def _repair(self, part: Part, boundary: str, encoding: str, around: Around) -> None:
        """Read a multipart whose boundary was not found: it is encoded as a whole, uses another boundary, or has no
        parts."""
        inside = self
        if encoding in ("base64", "quoted-printable", "x-uuencode") and self.budget.decodings_left > 0:
            part.set_content(part.octets()[0])
            part.defects.append("EncodedMultipartDefect")
            inside = Reader(bytes(part.encoded), self.budget)
            self.budget.decodings_left -= 1
            if boundary and inside._split(part, boundary):
                return
        found = damaged.boundary_in(inside.raw, part.start, part.end)
        if found and inside._split(part, found, around if inside is self else ()):
            part.defects.append("BoundaryGuessedDefect")
            return
        part.treat_as(damaged.type_of_text(inside.raw, part.start, part.end))
        part.defects.append("MultipartWithoutPartsDefect")

    def _split(self, part: Part, boundary: str, around: Around = ()) -> bool:
        """Read the parts between the lines of this boundary. Returns False when there are none."""
        outer, self.encoding = self.encoding, part.transfer_encoding or self.encoding
        try:
            return self._split_at(part, boundary, around)
        finally:
            self.encoding = outer

    def _split_at(self, part: Part, boundary: str, around: Around) -> bool:
        default_type = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
        lines = BoundaryLines(self.raw, self.budget, b"--" + damaged.octets_of(boundary), part)
        begun, is_closed, children = -1, False, part.children
        while True:
            line = lines.following()
            at, behind = line[:2] if line else (part.end, part.end)
            is_closed = line[2] if line else is_closed
            if line and begun == -1:
                part.end_of_preamble = at
            if line and begun == -1 and damaged.begins_part(self.raw, part.start, at):
                part.defects.append("BoundaryGuessedDefect")  # the boundary line above the first part is missing
                begun = part.start
            if begun >= 0 and (at > begun or not line):
                children = children or []
                children.append(self.part(begun, at, part.depth + 1, default_type, (*around, (boundary, part.end))))
                if children[-1].end > at:  # the child has the same boundary and has read this line as its own
                    self._extend_around(part, children[-1].end, around)
                    lines.position, begun, is_closed = children[-1].end, -2, False
                    continue
            if line is None or self.budget.parts_left <= 0:
                break
            if is_closed and (begun == -1 or not lines.go_on_behind(behind)):
                break
            begun = -2 if is_closed else behind
        part.children = children
        if begun == -1:
            if is_closed and part.depth == 0 and not self.raw[part.start : at].strip():
                part.start = behind  # nothing but a closing line above the text
            elif is_closed:
                part.end = at
            return False
        part.children = children or []
        if self.budget.parts_left <= 0:
            part.defects.append("TooManyParts")
        elif not is_closed:
            part.defects.append("CloseBoundaryNotFoundDefect")
        elif "BoundaryOfParentDefect" in part.defects:
            part.end = lines.position
        return True

    def _without_line_end(self, start: int, end: int) -> int:
        if end > start and self.raw[end - 1] in _LINE_ENDS:
            is_pair = end - 1 > start and self.raw[end - 2 : end] == b"\r\n"
            return end - 2 if is_pair else end - 1
        return end
