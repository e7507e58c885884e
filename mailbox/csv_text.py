"""Writes and reads CSV whose cells no spreadsheet executes as formulas. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence

_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_BEGINS_LATER = re.compile(r"((?:;|(?<=[\s\S])[\t\r\n])[ \xa0\"']*+)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


class _Echo:
    """A file object for csv.writer whose write() returns the line."""

    def write(self, line: str) -> str:
        return line


def safe_cell(value: object) -> str:
    """The value as text that no spreadsheet takes for a formula: subjects and names come from strangers (CWE-1236).

    A character that would begin a formula gets an apostrophe before it. So it does after blanks, which some programs
    skip, and after characters that separate cells in some countries.
    """
    text = "" if value is None else str(value).replace("\0", "")
    text = _BEGINS_LATER.sub(r"\1'", text)
    return f"'{text}" if text.lstrip(" \xa0").startswith(_BEGINS_FORMULA) else text


def read_cell(text: str) -> str:
    """The text of a cell that safe_cell() wrote, or that a person protected by the same apostrophe."""
    return text[1:] if text.startswith("'") and text[1:].lstrip(" \xa0").startswith(_BEGINS_FORMULA) else text


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
