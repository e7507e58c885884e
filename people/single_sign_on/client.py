"""HTTP requests to the company's provider, limited in time and size, and by https, also for redirects.

A web request waits for the provider, and few are served at once (prx_email_site.request_limit). So only AT_ONCE may
wait: a provider that does not answer must leave some for people who sign in with a password, above all the break-glass
administrator.
"""

from __future__ import annotations

import io
import threading
from typing import Any

import requests
from django.conf import settings
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from mailbox import network
from mailbox.safe_http import FetchRefused, Network, OutgoingRequest, exchange

SECONDS = 10.0  # for one whole answer, however slowly it is sent
MAX_BYTES = 500_000
MAX_REDIRECTS = 3
AT_ONCE, WAIT_SECONDS = 3, 1.0  # concurrent requests of a process; how long another one waits for its turn
HANDED_ON = ("Authorization", "Content-Type")
_places = threading.BoundedSemaphore(AT_ONCE)


def session() -> requests.Session:
    """The session that django-allauth sends its requests with. Raises RequestException, which its callers expect."""
    try:
        network.demand()
    except network.NetworkOff as error:
        raise requests.RequestException(str(error)) from error
    made = requests.Session()
    made.max_redirects = MAX_REDIRECTS
    made.adapters.clear()
    made.mount("https://", _Bounded())
    made.mount("http://", _Bounded())  # where http is not allowed, it refuses with a reason
    return made


def schemes() -> tuple[str, ...]:
    """The URL schemes that requests may use: https, and http if PRX_EMAIL_OAUTH_ALLOW_HTTP is set."""
    return ("https", "http") if settings.OAUTH_ALLOW_HTTP else ("https",)


class _Bounded(BaseAdapter):
    """A transport adapter for `requests` that uses mailbox.safe_http, the client for untrusted servers."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        wanted = OutgoingRequest(
            accept="application/json",
            user_agent="PRX-Email",
            max_bytes=MAX_BYTES,
            schemes=schemes(),
            noun="answer",
            method=request.method or "GET",
            headers={name: _text(request.headers[name]) for name in HANDED_ON if name in request.headers},
            content=_text(request.body).encode() if request.body else None,
        )
        if not _places.acquire(timeout=WAIT_SECONDS):
            raise requests.ConnectionError("The provider keeps others waiting.")
        try:
            # The provider is named in the site's configuration, so it may be in the site's own network.
            answer = exchange(
                request.url or "", wanted, Network(is_allowed=lambda _: True, seconds=SECONDS, any_port=True)
            )
        except FetchRefused as refused:
            raise requests.ConnectionError(str(refused)) from refused
        finally:
            _places.release()
        response = requests.Response()
        response.status_code, response.headers = answer.status, CaseInsensitiveDict(answer.headers)
        response.url, response.request, response.raw = request.url or "", request, io.BytesIO(answer.content)
        return response

    def close(self) -> None:
        """Do nothing: no connection is kept open."""


def _text(given: Any) -> str:
    """A header or body as text: `requests` may have it as str or bytes."""
    return given.decode() if isinstance(given, bytes) else str(given)
