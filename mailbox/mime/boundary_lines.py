"""Finds the boundary lines of a multipart (RFC 2046 section 5.1.1), and bounds the work spent on one message. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailbox.mime import damaged
from mailbox.mime.part import Part

MAX_PARTS = 10_000  # leaves that are listed
MAX_FIELDS_IN_ALL = 200_000
_MAX_TREE = 2 * MAX_PARTS  # leaves and multiparts
# Lines that begin like a boundary. Each costs time; in real mails there are only a few more than parts.
_MAX_LOOKS = 300_000

# A blank before the closing dashes belongs to a boundary that ends in one, which RFC 2046 section 5.1.1 forbids.
_BEHIND_BOUNDARY = re.compile(rb"( (?=--)|(?!))?+(--)?[ \t]*+(?:\r\n|\r|\n|\Z)")
_LINE_ENDS = (10, 13)
_SURE_MARK = 10  # length from which a boundary hardly occurs in text by chance


@dataclass
class Budget:
    """The work that may still be spent on one message."""

    fields_left: int = MAX_FIELDS_IN_ALL
    parts_left: int = _MAX_TREE
    looks_left: int = _MAX_LOOKS
    decodings_left: int = 3  # of multiparts that are encoded as a whole
    searches_left: int = 50  # for the end of a part that has the boundary of one around it


class BoundaryLines:
    """Finds the boundary lines of one multipart, in order."""

    def __init__(self, raw: bytes, budget: Budget, mark: bytes, part: Part) -> None:
        self._raw, self._budget, self._mark, self._part = raw, budget, mark, part
        self.position = part.start

    def following(self) -> tuple[int, int, bool] | None:
        """Begin and end of the next line, and whether it closes the multipart; None when there is no further one."""
        raw, budget, part = self._raw, self._budget, self._part
        while budget.looks_left > 0 and (at := raw.find(self._mark, self.position, part.end)) >= 0:
            self.position = at + len(self._mark)
            found = _BEHIND_BOUNDARY.match(raw, self.position, part.end)
            is_on_line = at == part.start or raw[at - 1] in _LINE_ENDS
            if found and not is_on_line and self._is_meant(at, found):
                part.defects.append("BoundaryGuessedDefect")
                is_on_line = True
            if found and is_on_line:
                if found[1]:
                    part.defects.append("BoundaryGuessedDefect")
                self.position = found.end()
                return at, self.position, found[2] is not None
            budget.looks_left -= 1
        if budget.looks_left <= 0:
            part.defects.append("TooManyParts")
        return None

    def _is_meant(self, at: int, found: re.Match[bytes]) -> bool:
        """Whether a boundary that follows text in the same line is a boundary: some scripts forget the line end.

        It is not if the line itself begins with "--": then it is the line of a longer boundary with the same end.
        """
        raw, part = self._raw, self._part
        line = max(raw.rfind(b"\n", max(part.start, at - 1000), at) + 1, part.start)
        if raw[line : line + 2] == b"--":
            return False
        is_close = found[2] is not None and len(self._mark) >= _SURE_MARK
        return is_close or (found[2] is None and damaged.begins_part(raw, found.end(), part.end))

    def go_on_behind(self, behind: int) -> bool:
        """Whether more parts follow a closing line, which then closed an inner multipart with the same boundary.

        If so, `position` is moved to the next line above a part.
        """
        raw, part = self._raw, self._part
        if "BoundaryOfParentDefect" in part.defects or raw.find(self._mark, behind, part.end) < 0:
            return False
        line = self.following()
        while line is not None and not damaged.begins_part(raw, line[1], part.end):
            line = self.following()
        if line is None:
            self.position = behind
            return False
        self.position = line[0]
        part.defects.append("PartsBehindCloseDefect")
        return True
