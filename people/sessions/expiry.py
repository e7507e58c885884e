"""Ends sessions: after a time without a request by the person, and after a longest time in all.

The first is the session's expiry (SESSION_COOKIE_AGE), which each save extends; a session in use is saved once a
minute. Requests that an open page makes by itself (htmx's polls) do not extend it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

NOTED_EACH_SECONDS = 60


now_seconds = time.time


class SessionEndMiddleware:
    """Place it after SessionMiddleware and before AuthenticationMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        session, now = request.session, int(now_seconds())
        if "_auth_user_id" in session:
            began_at, seen_at = session.get("began_at", now), session.get("seen_at", 0)
            if now - began_at >= settings.SESSION_LONGEST_SECONDS:
                session.flush()
            elif not is_poll(request) and now - seen_at >= NOTED_EACH_SECONDS:
                session["began_at"], session["seen_at"] = began_at, now
        return self.get_response(request)


def is_poll(request: HttpRequest) -> bool:
    """Whether an open page makes this request by itself, to update its content."""
    return request.method == "GET" and request.headers.get("HX-Request") == "true"
