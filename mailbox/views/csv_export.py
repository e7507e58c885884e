"""Answers a list as a CSV file; of a long one, workers make an export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from mailbox.csv_text import lines_of

MOST = 10_000  # rows of a file that is made while its reader waits


def csv_file(name: str, head: Sequence[object], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """The CSV file as a streaming response."""
    response = StreamingHttpResponse(lines_of(head, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "private, no-store"
    return response


def by_workers(request: HttpRequest, name: str, **more: object) -> HttpResponse:
    """To the page that has workers make the file of this list, with its filters. name: one of list_pages.TITLES."""
    filters = {key: value for key, value in request.GET.items() if key not in ("format", "before", "after", "limit")}
    return redirect(f"{reverse('list_export', args=[name])}?{urlencode(filters | more)}")
