"""Writes and reads CSV whose cells no spreadsheet executes as formulas. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence

_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Blanks and characters that are displayed as nothing: programs that read CSV skip some of them before a formula.
_SKIPPED = " \xa0\xad\u1680\u180e\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, (*range(0x2000, 0x2010), *range(0x2060, 0x2065)))
)
_BEGINS_LATER = re.compile(rf"""((?:;|(?<=[\s\S])[\t\r\n])[{_SKIPPED}"']*+)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")
# C0 but for tabs and line breaks, DEL, C1 and halves of a character: no reader of CSV needs them, some drop them, and a
# terminal takes them for commands.
_UNWANTED = dict.fromkeys({*range(32), *range(127, 160), *range(0xD800, 0xE000)} - {0x09, 0x0A, 0x0D})


# Excel's most for a cell, in UTF-16: it puts the rest into the next row, where a formula may begin.
LONGEST_CELL = 32_767


class _Echo:
    """A file object for csv.writer whose write() returns the line."""

    def write(self, line: str) -> str:
        return line


def safe_cell(value: object) -> str:
    """The value as text that no spreadsheet takes for a formula: subjects and names come from strangers (CWE-1236).

    A character that would begin a formula gets an apostrophe before it. So it does after blanks, which some programs
    skip, and after characters that separate cells in some countries. Control characters are left out, and what is
    beyond LONGEST_CELL is cut.
    """
    text = "" if value is None else str(value)
    if not (text.isascii() and text.isprintable()):
        text = text.translate(_UNWANTED)
    text = _BEGINS_LATER.sub(r"\1'", text)
    text = f"'{text}" if _begins_formula(text) else text
    return text if len(text) * 2 <= LONGEST_CELL else _shortened(text)


def _shortened(text: str) -> str:
    units = text.encode("utf-16-le")
    most = 2 * (LONGEST_CELL - 2)
    return text if len(units) <= 2 * LONGEST_CELL else units[:most].decode("utf-16-le", "ignore") + " …"


def read_cell(text: str) -> str:
    """The text of a cell that safe_cell() wrote, or that a person protected by the same apostrophe."""
    return text[1:] if text.startswith("'") and _begins_formula(text[1:]) else text


def _begins_formula(text: str) -> bool:
    return text.lstrip(_SKIPPED).startswith(_BEGINS_FORMULA)


def lines_of(head: Sequence[object], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A CSV file in pieces: byte order mark, head, then a line for each row; each cell through `safe_cell`."""
    yield "\ufeff"  # without a byte order mark, spreadsheets take UTF-8 for another charset
    yield from further_lines([head])
    yield from further_lines(rows)


def further_lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Lines that follow in a CSV file whose beginning is written."""
    writer = csv.writer(_Echo())
    for row in rows:
        yield writer.writerow([safe_cell(cell) for cell in row])
