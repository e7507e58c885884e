"""Reads what a refusal left unread of a request's body, and throws it away.

Else the web server ends the connection while a proxy still sends the rest, and the proxy answers 502 instead. Bounded
in bytes and time; and of strangers few are read to the end at once, as each holds a thread.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, UnreadablePostError

LEAST = 32 * 1024  # bytes: gunicorn itself reads as much before it closes
MOST = 64 * 1024 * 1024  # bytes: what the proxies of deploy/ let pass
SECONDS = 20.0
PIECE = 256 * 1024
strangers = threading.BoundedSemaphore(4)  # in a process


class UnreadBodyMiddleware:
    """Discards the unread rest of each request's body once its response is made."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code >= HTTPStatus.MULTIPLE_CHOICES and not hasattr(request, "_body"):
            is_chunked = "HTTP_TRANSFER_ENCODING" in request.META  # Django reads nothing of such a body
            if is_chunked or LEAST < int(request.META.get("CONTENT_LENGTH") or 0) <= MOST:
                _discard(request, request.META["wsgi.input"].read if is_chunked else request.read)
        return response


def _discard(request: HttpRequest, read: Callable[[int], bytes]) -> None:
    user, left = getattr(request, "user", None), MOST
    is_known = bool(getattr(request, "auth", None) or (user and user.is_authenticated))
    if not is_known and not strangers.acquire(blocking=False):
        return
    try:
        with _ending_after(SECONDS, request), contextlib.suppress(UnreadablePostError, OSError):  # the client is gone
            while left > 0 and (piece := read(PIECE)):
                left -= len(piece)
    finally:
        if not is_known:
            strangers.release()


@contextlib.contextmanager
def _ending_after(seconds: float, request: HttpRequest) -> Iterator[None]:
    """End what comes in after that time, so that a read which waits for more returns; the response still goes out."""
    connection: socket.socket | None = request.META.get("gunicorn.socket")
    if connection is None:
        yield
        return

    def end() -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RD)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
