"""A list as a CSV file, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from django.http import StreamingHttpResponse
from django.utils.translation import gettext

MOST = 10_000  # rows of a file
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


def lines_of(head: Sequence[object], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff"  # without it, spreadsheets read UTF-8 as another charset
    yield writer.writerow([safe_cell(cell) for cell in head])
    for row in rows:
        yield writer.writerow([safe_cell(cell) for cell in row])


def csv_file(
    name: str, head: Sequence[object], rows: Iterable[Sequence[object]], *, is_cut: bool = False
) -> StreamingHttpResponse:
    """`is_cut`: the rows are not all there are, which the last line says."""
    last = [[gettext("These are not all: narrow the filters for the rest.")]] if is_cut else []
    response = StreamingHttpResponse(lines_of(head, chain(rows, last)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "private, no-store"
    return response
