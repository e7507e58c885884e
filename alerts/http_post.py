"""Sends one POST to a webhook, whose URL an administrator typed.

Refused unless settings allow it: plain http, and hosts that are not on the public Internet, since an administrator of
this site need not have access to its network. The name is resolved once, and the resolved addresses are connected to
until one answers (DNS rebinding). Redirects are not followed, and only the status of the answer is kept, so that nobody
can read other servers' pages through this site.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from django.conf import settings
from django.utils.translation import gettext_noop

from mailbox import network as network_switch
from mailbox import tracing
from mailbox.safe_http import MOST_ADDRESSES, Address, ConnectionDeadline, FetchRefused, connected, is_public, resolve

SECONDS = 10.0  # longest time without any bytes: to connect, for TLS, for the answer
IN_ALL = 30.0  # longest time in all, against a server that sends one byte at a time
PORTS = {"http": 80, "https": 443}
MAX_URL = 2000


class WebhookFailed(Exception):
    """The POST failed; str() is a sentence. `is_final`: another attempt would fail too. `status`: the receiver's HTTP
    status, if it answered."""

    def __init__(self, sentence: str, *, is_final: bool = False, status: int | None = None) -> None:
        super().__init__(sentence)
        self.is_final, self.status = is_final, status

    @property
    def is_refusal(self) -> bool:
        """Whether the receiver refuses this request (4xx), rather than being too slow, busy or broken."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in (408, 425, 429)


@dataclass(frozen=True)
class WebhookNetwork:
    """The resolver, TLS context and time limits to use. Tests pass their own."""

    resolve: Callable[[str, int], Sequence[Address]] = resolve
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context
    seconds: float = SECONDS
    in_all: float = IN_ALL


OUTSIDE = WebhookNetwork()


def checked(url: str) -> SplitResult:
    """The parts of a URL that may be posted to. Raises WebhookFailed. Makes no DNS query."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise WebhookFailed(gettext_noop("This is no web address."), is_final=True) from error
    if len(url) > MAX_URL or any(ord(each) <= 32 or ord(each) == 127 for each in url):
        raise WebhookFailed(gettext_noop("This is no web address."), is_final=True)
    allowed = ("https", "http") if settings.WEBHOOK_ALLOW_HTTP else ("https",)
    if parts.scheme not in allowed or not parts.hostname:
        words = gettext_noop("Only https addresses are posted to; PRX_EMAIL_WEBHOOK_ALLOW_HTTP=1 allows http.")
        raise WebhookFailed(words, is_final=True)
    if parts.username is not None or parts.password is not None or port == 0:
        raise WebhookFailed(gettext_noop("The address must hold no user name and a usual port."), is_final=True)
    return parts


def signature(secret: str, body: bytes, at: int) -> str:
    """`t=<unix seconds>,v1=<hex>`: HMAC-SHA256 of "<t>.<body>". By the time a receiver can refuse replayed requests."""
    return f"t={at},v1={hmac.new(secret.encode(), b'%d.' % at + body, hashlib.sha256).hexdigest()}"


def identified(delivery: str, secret: str, body: bytes) -> dict[str, str]:
    """The headers that identify and sign an alert. `delivery` is the same at each attempt."""
    signed = {"X-PRX-Signature": signature(secret, body, int(time.time()))} if secret else {}
    return {"X-PRX-Delivery": delivery, **signed}


def post(url: str, body: bytes, identity: dict[str, str], network: WebhookNetwork = OUTSIDE) -> str:
    """Post JSON and return a sentence with the status when it is 2xx; else raise WebhookFailed. `identity`: further
    headers."""
    parts = checked(url)
    targets = _chosen(parts, network)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "PRX-Email",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **tracing.headers(),
        **identity,
    }
    try:
        status = _ask(parts, targets, body, headers, network)
    except TimeoutError as error:
        raise WebhookFailed(gettext_noop("The server took too long.")) from error
    except ssl.SSLError as error:
        raise WebhookFailed(gettext_noop("The server's certificate cannot be trusted.")) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise WebhookFailed(gettext_noop("The server could not be reached, or spoke no HTTP.")) from error
    if 200 <= status < 300:
        return f"The server answered {status}."
    if 300 <= status < 400:
        words = f"The server answered {status}: redirects are not followed."
        raise WebhookFailed(words, is_final=True, status=status)
    raise WebhookFailed(f"The server answered {status}.", is_final=status == 410, status=status)


def _chosen(parts: SplitResult, network: WebhookNetwork) -> list[tuple[str, int]]:
    if network_switch.is_off():
        raise WebhookFailed(network_switch.OFF)
    port = parts.port or PORTS[parts.scheme]
    try:
        found = network.resolve(parts.hostname or "", port)
    except FetchRefused as error:
        raise WebhookFailed(str(error)) from error
    if not found:
        raise WebhookFailed(gettext_noop("The host's name is not known."))
    if not settings.WEBHOOK_ALLOW_PRIVATE and not all(is_public(each) for each in found):
        words = gettext_noop("The host is not on the public Internet; PRX_EMAIL_WEBHOOK_ALLOW_PRIVATE=1 allows it.")
        raise WebhookFailed(words, is_final=True)
    return [(str(each), port) for each in found[:MOST_ADDRESSES]]


def _ask(
    parts: SplitResult, targets: list[tuple[str, int]], body: bytes, headers: dict[str, str], network: WebhookNetwork
) -> int:
    """Send the request and return the status. http.client reads at most 100 header lines of 64 kB; the body is not
    read."""
    host = (parts.hostname or "").encode("idna").decode("ascii") if ":" not in (parts.hostname or "") else ""
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&()*+,;=~-._?")
    watch, connection = ConnectionDeadline(network.in_all), None
    try:
        connection = plain = connected(targets, time.monotonic() + network.in_all)
        plain.settimeout(network.seconds)
        watch.guard(plain)
        if parts.scheme == "https":
            connection = network.context().wrap_socket(plain, server_hostname=parts.hostname)
            watch.guard(connection)
        asked = http.client.HTTPConnection(host or f"[{parts.hostname}]", targets[0][1])
        asked.sock = connection  # already connected, so http.client makes no DNS query
        asked.request("POST", path, body=body, headers=headers)
        status = asked.getresponse().status
        if watch.is_over:  # the deadline closed the connection, which looks like the end of the headers
            raise TimeoutError
        return status
    except (OSError, http.client.HTTPException) as error:
        if watch.is_over:
            raise TimeoutError from error
        raise
    finally:
        watch.stop()
        if connection is not None:
            connection.close()
