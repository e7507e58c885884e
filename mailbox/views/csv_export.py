"""Answers a list as a CSV file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from django.http import StreamingHttpResponse
from django.utils.translation import gettext

from mailbox.csv_text import lines_of

MOST = 10_000  # rows of a file


def csv_file(
    name: str, head: Sequence[object], rows: Iterable[Sequence[object]], *, is_cut: bool = False
) -> StreamingHttpResponse:
    """The CSV file as a streaming response. `is_cut`: rows are missing, which its last line says."""
    last = [[gettext("These are not all: narrow the filters for the rest.")]] if is_cut else []
    response = StreamingHttpResponse(lines_of(head, chain(rows, last)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "private, no-store"
    return response
