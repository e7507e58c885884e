"""Limits the number of concurrent requests, so that a thread is always free for health checks.

Each gunicorn process has THREADS threads and serves AT_ONCE requests. If the database does not answer, these stay;
further ones wait a second and get 503, while `/health/` is not limited. Programs are more patient than people and often
make many requests at once, so LINE of their requests may wait LINE_SECONDS.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from django.conf import settings
from django.db import connections

from api.v1.protocol.problems import PROBLEM, problem
from outbox.errors import ErrorCode

AT_ONCE = 8  # of a process; `launch` and docs/operations.md start it with THREADS threads
THREADS = 24
WAIT_SECONDS = 1.0
LINE = THREADS - AT_ONCE - 3  # requests of programs that may wait longer; the other threads: health checks, pages
LINE_SECONDS = 20.0
BUSY = b"The site is busy or its database does not answer. Nothing was changed: try again in a moment.\n"
HEADERS = [("Retry-After", "5"), ("Cache-Control", "no-store")]
Application = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]


class RequestLimit:
    """WSGI middleware. Responds 503 if no slot is free within `wait` seconds, or within `line_wait` seconds for up to
    `line` requests of programs (/api/)."""

    def __init__(
        self,
        application: Application,
        slots: int = AT_ONCE,
        wait: float = WAIT_SECONDS,
        line: int = LINE,
        line_wait: float = LINE_SECONDS,
    ) -> None:
        self._application, self._wait, self._line_wait = application, wait, line_wait
        self._free, self._line = threading.BoundedSemaphore(slots), threading.BoundedSemaphore(line)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith("/health/"):
            return self._application(environ, start_response)
        if not self._enter(is_program=path.startswith("/api/")):
            answer, content_type = _busy(path)
            start_response("503 Service Unavailable", [("Content-Type", content_type), *HEADERS])
            return [answer]
        try:
            return self._application(environ, start_response)
        finally:
            self._free.release()

    def _enter(self, *, is_program: bool) -> bool:
        if self._free.acquire(blocking=False):
            return True
        if not (is_program and self._line.acquire(blocking=False)):
            return self._free.acquire(timeout=self._wait)
        try:
            return self._free.acquire(timeout=self._line_wait)
        finally:
            self._line.release()


def _busy(path: str) -> tuple[bytes, str]:
    """(the body of the 503, its content type): problem details for programs, which parse each answer of the API."""
    if not path.startswith("/api/v1/"):
        return BUSY, "text/plain; charset=utf-8"
    words = BUSY.decode().strip()
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, words, ErrorCode.STORAGE.value).content, PROBLEM


def limit_statements() -> None:
    """Make PostgreSQL cancel a statement after PAGE_STATEMENT_SECONDS. Call it before this process connects.

    A pooler that hands out transactions passes no such option on: there its own settings say it (docs/operations.md).
    """
    database = connections.settings["default"]
    if database["ENGINE"] != "django.db.backends.postgresql" or not settings.PAGE_STATEMENT_SECONDS:
        return
    if settings.DATABASE_POOLING == "transaction":
        return
    options: dict[str, Any] = database["OPTIONS"]
    given = options.get("options", "")
    options["options"] = f"-c statement_timeout={settings.PAGE_STATEMENT_SECONDS}s {given}".strip()
