"""An id for each request, in its JSON log lines and in its response, so that a person can quote it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse

from mailbox.logs import request_id

HEADER = "X-Request-ID"
_GIVEN = re.compile(r"[A-Za-z0-9-]{8,64}")  # ids accepted from a proxy; anything else stays out of the log


class RequestIdMiddleware:
    """Takes the id from the proxy's header if it has the right form, else makes one of 32 hexadecimal digits."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        name = given if _GIVEN.fullmatch(given) else secrets.token_hex(16)
        request_id.set(name)
        response = self._get_response(request)
        response[HEADER] = name
        return response


def _forget(**_: Any) -> None:
    """Clear the id when the request has ended. Not earlier: Django logs 404 and 500 after the last middleware."""
    request_id.set("")


request_finished.connect(_forget)
