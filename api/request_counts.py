"""Counts requests of the API by route, method, status and duration, for /metrics.

Each process counts in memory and adds its counts to the rows every half minute (gunicorn.conf.py) and at a scrape, so
no request waits for a write. A process that is killed loses the counts of its last half minute.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from functools import wraps

from django.db import connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds; longer requests are in "+Inf"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ENDS = (*(str(bound) for bound in BUCKETS), "+Inf")
_Key = tuple[str, str, str, str]  # route, method, class of status, end of the bucket

_lock = threading.Lock()
_counts: dict[_Key, tuple[int, float]] = {}


def counted(route: str, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Wrap a view so that its calls are counted; an exception counts as 5xx. route: the URL's pattern, not the URL."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        began, status = time.monotonic(), 500
        try:
            response = view(request, *args, **kwargs)
            status = response.status_code
            return response
        finally:
            note(route, request.method or "", status, time.monotonic() - began)

    return wrapped


def note(route: str, method: str, status: int, seconds: float) -> None:
    """Count one request in memory. `route`: the URL's pattern; `seconds`: how long it took."""
    # Clients may send any method (RFC 9110 9.1): each would make rows, and a long one would not fit the column.
    method = method if method in METHODS else "other"
    key = (route, method, f"{status // 100}xx", ENDS[bisect_left(BUCKETS, seconds)])
    with _lock:
        number, total = _counts.get(key, (0, 0.0))
        _counts[key] = (number + 1, total + seconds)


def flush() -> None:
    """Add this process's counts to the rows. If that fails, they are kept for the next call, and it raises."""
    with _lock:
        taken = dict(_counts)
        _counts.clear()
    try:
        _add(taken)
    except Exception:
        with _lock:
            for key, (number, total) in taken.items():
                before = _counts.get(key, (0, 0.0))
                _counts[key] = (before[0] + number, before[1] + total)
        raise


def _add(counts: dict[_Key, tuple[int, float]]) -> None:
    """Insert or add the counts by one statement, sorted by key, so that two processes cannot deadlock."""
    if not counts:
        return
    places = ", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(counts))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO "api_requests" ("route", "method", "status", "le", "number", "seconds") VALUES {places}
            ON CONFLICT ("route", "method", "status", "le") DO UPDATE SET
            "number" = "api_requests"."number" + EXCLUDED."number",
            "seconds" = "api_requests"."seconds" + EXCLUDED."seconds\"""",  # noqa: S608 - only placeholders are put in
            [value for key, counted in sorted(counts.items()) for value in (*key, *counted)],
        )
