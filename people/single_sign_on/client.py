"""All that is asked of the company's provider: bounded in time and size, and by https, whatever an answer leads to.

A page waits for it, and pages are few (prx_email_site.slots): a provider that hangs must leave some for whoever signs
in with a password, the break-glass administrator first of all.
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

SECONDS = 10.0  # for one answer, however it drips
MAX_BYTES = 500_000
MAX_REDIRECTS = 3
AT_ONCE, WAIT_SECONDS = 3, 1.0  # of a process
HANDED_ON = ("Authorization", "Content-Type")
_places = threading.BoundedSemaphore(AT_ONCE)


def session() -> requests.Session:
    """What django-allauth asks with; raises RequestException, which its callers expect."""
    try:
        network.demand()
    except network.NetworkOff as error:
        raise requests.RequestException(str(error)) from error
    made = requests.Session()
    made.max_redirects = MAX_REDIRECTS
    made.adapters.clear()
    made.mount("https://", _Bounded())
    made.mount("http://", _Bounded())  # says why not, where it is not allowed
    return made


def schemes() -> tuple[str, ...]:
    return ("https", "http") if settings.OAUTH_ALLOW_HTTP else ("https",)


class _Bounded(BaseAdapter):
    """A transport for requests, by the client that asks all other strangers (mailbox.safe_http)."""

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
            # Whoever configures the site names the provider, so it may stand in the own network.
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
        """Nothing is kept open."""


def _text(given: Any) -> str:
    """A header or a form's fields, which requests may have as either."""
    return given.decode() if isinstance(given, bytes) else str(given)
