"""A list as lines of CSV that are safe to open in a spreadsheet. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence

_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_BEGINS_LATER = re.compile(r"((?:;|(?<=[\s\S])[\t\r\n])[ \xa0\"']*+)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


class _Echo:
    """What csv writes to: it hands each line back."""

    def write(self, line: str) -> str:
        return line


def safe_cell(value: object) -> str:
    """Text that no spreadsheet takes for a formula: subjects and names come from strangers (CWE-1236).

    What would begin one gets an apostrophe before it, also behind blanks, which some programs pass over, and behind
    what a spreadsheet of another country takes for the end of a cell.
    """
    text = "" if value is None else str(value).replace("\0", "")
    text = _BEGINS_LATER.sub(r"\1'", text)
    return f"'{text}" if text.lstrip(" \xa0").startswith(_BEGINS_FORMULA) else text


def read_cell(text: str) -> str:
    """What was meant by a cell that safe_cell wrote, or a person by the same apostrophe."""
    return text[1:] if text.startswith("'") and text[1:].lstrip(" \xa0").startswith(_BEGINS_FORMULA) else text


def lines_of(head: Sequence[object], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff"  # without it, spreadsheets read UTF-8 as another charset
    yield writer.writerow([safe_cell(cell) for cell in head])
    for row in rows:
        yield writer.writerow([safe_cell(cell) for cell in row])
