"""A list as a CSV file, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence

from django.http import StreamingHttpResponse

MOST = 10_000  # rows of a file
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class _Echo:
    """What csv writes to: it hands each line back."""

    def write(self, line: str) -> str:
        return line


def safe_cell(value: object) -> str:
    """Text that no spreadsheet takes for a formula: subjects and names come from strangers (CWE-1236).

    What would begin one gets an apostrophe before it, also behind blanks, which some programs pass over.
    """
    text = "" if value is None else str(value).replace("\0", "")
    return f"'{text}" if text.lstrip(" \xa0").startswith(_BEGINS_FORMULA) else text


def lines_of(head: Sequence[object], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff"  # without it, spreadsheets read UTF-8 as another charset
    yield writer.writerow([safe_cell(cell) for cell in head])
    for row in rows:
        yield writer.writerow([safe_cell(cell) for cell in row])


def csv_file(name: str, head: Sequence[object], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines_of(head, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "private, no-store"
    return response
