"""HTTP(S) requests to URLs that strangers choose (a mail, a domain's owner, an administrator), safe against SSRF.

Only http and https on their standard ports, and only addresses of the public Internet. A name is resolved once and the
resolved address is connected to, against DNS rebinding. Each redirect is checked again. No cookies, no referrer, no
compression; time and bytes are limited.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from django.utils.translation import gettext_noop

from mailbox import network as network_switch

MAX_REDIRECTS = 3
MOST_ADDRESSES = 4  # of a host, that are tried until one answers
MAX_ADDRESS = 4_096
SECONDS = 10.0  # for one answer, redirects included
STEP_SECONDS = 5.0  # without any bytes from the server
PORTS = {"http": 80, "https": 443}

# Some Python versions of `ipaddress` call these global, though they lead to inner networks.
_DOORS_V6 = (
    "64:ff9b::/96 64:ff9b:1::/48 "  # NAT64 (RFC 6052, 8215)
    "2002::/16 "  # 6to4 (RFC 3056)
    "::/96 ::ffff:0:0:0/96 fec0::/10 "  # deprecated: IPv4 within, and site-local
    "2001::/23 "  # IETF protocol assignments (RFC 2928), Teredo among them
    "3fff::/20 "  # documentation (RFC 9637)
    "5f00::/16"  # segment routing within a domain (RFC 9602)
)
_DOORS_V4 = (
    "192.0.0.0/24 "  # IETF protocol assignments (RFC 6890)
    "192.88.99.0/24 "  # relays of 6to4 (RFC 7526)
    "168.63.129.16/32"  # the platform's own services on each machine of Azure
)
_DOORS = tuple(ipaddress.ip_network(each) for each in f"{_DOORS_V6} {_DOORS_V4}".split())

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class FetchRefused(Exception):
    """The request failed or was refused; str() is a short sentence. `sent`: the server may have received it."""

    sent = False


def is_public(address: Address) -> bool:
    """Whether the address is on the public Internet (IANA's special-purpose registries, RFC 6890)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return False  # no resolver has a reason to return these
        if address.is_site_local:
            return False
    if any(address in network for network in _DOORS):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def resolve(host: str, port: int) -> list[Address]:
    """All addresses of a host. Raises FetchRefused when there are none."""
    if network_switch.is_off():
        raise FetchRefused(network_switch.OFF)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchRefused(gettext_noop("The host's name is not known.")) from error
    return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]


@dataclass(frozen=True)
class Network:
    """How other servers are reached. Only tests use another one, which allows a server on this machine."""

    resolve: Callable[[str, int], Sequence[Address]] = resolve
    is_allowed: Callable[[Address], bool] = is_public
    ports: Callable[[str], int] = PORTS.__getitem__
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context
    seconds: float = SECONDS
    any_port: bool = False  # allow ports other than the standard ones


OUTSIDE = Network()


@dataclass(frozen=True)
class OutgoingRequest:
    """A request, and the limits on its answer."""

    accept: str
    user_agent: str
    max_bytes: int
    schemes: Collection[str] = field(default_factory=lambda: tuple(PORTS))
    noun: str = "image"  # what error messages call the resource
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ServerResponse:
    """A server's answer, of any status."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)


def get(address: str, wanted: OutgoingRequest, network: Network = OUTSIDE) -> bytes:
    """The body of the answer, redirects followed. Raises FetchRefused, also for a status other than 200.

    It takes at most `network.seconds`, besides the DNS look-up of each host.
    """
    ends_at = time.monotonic() + network.seconds
    for _ in range(MAX_REDIRECTS + 1):
        parts = _checked(address, network, wanted.schemes)
        with _answer(parts, wanted, network, ends_at) as (response, watch):
            if response.status in (301, 302, 303, 307, 308):
                address = urljoin(address, response.headers.get("Location", ""))
                continue
            return _body(response, watch, wanted)
    raise FetchRefused(gettext_noop("The server redirects too often."))


def exchange(address: str, wanted: OutgoingRequest, network: Network = OUTSIDE) -> ServerResponse:
    """The answer to one request, of any status, with the limits of get(); redirects are not followed.

    Raises FetchRefused.
    """
    parts = _checked(address, network, wanted.schemes)
    with _answer(parts, wanted, network, time.monotonic() + network.seconds) as (response, watch):
        content = _content(response, watch, wanted)
        return ServerResponse(response.status, dict(response.headers.items()), content)


def _checked(address: str, network: Network, schemes: Collection[str]) -> SplitResult:
    if len(address) > MAX_ADDRESS:
        raise FetchRefused(gettext_noop("The address is too long."))
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise FetchRefused(gettext_noop("This is no address.")) from error
    if parts.scheme not in schemes or not parts.hostname:
        if "http" in schemes:
            raise FetchRefused(gettext_noop("Only http and https addresses are fetched."))
        raise FetchRefused(gettext_noop("Only https addresses are fetched."))
    if port not in (None, network.ports(parts.scheme)) and not network.any_port:
        raise FetchRefused(gettext_noop("Only the ports 80 and 443 are asked."))
    if parts.username is not None or parts.password is not None:
        raise FetchRefused(gettext_noop("The address holds a user name."))
    return parts


def judged(host: str, port: int, network: Network) -> list[tuple[str, int]]:
    """The addresses to connect to, in order. Raises FetchRefused when any address of the host is not public."""
    if network_switch.is_off():
        raise FetchRefused(network_switch.OFF)
    found = network.resolve(host, port)
    if not found:
        raise FetchRefused(gettext_noop("The host's name is not known."))
    if not all(network.is_allowed(each) for each in found):
        raise FetchRefused(gettext_noop("The host is not on the public Internet."))
    return [(str(each), port) for each in found[:MOST_ADDRESSES]]


class ConnectionDeadline:
    """Closes a connection at a deadline: a server that sends single bytes would reset every socket time-out."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def guard(self, connection: socket.socket) -> None:
        """Close this connection at the deadline, at once if it is over; a TLS socket replaces the one beneath it."""
        self._socket = connection
        if self.is_over:
            self._end()

    def _end(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # socket's shutdown and not SSLSocket's, which would wait for the lock that the reader holds.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def stop(self) -> None:
        """End the timer: the answer has been read."""
        self._timer.cancel()


@contextlib.contextmanager
def _answer(
    parts: SplitResult, wanted: OutgoingRequest, network: Network, ends_at: float
) -> Iterator[tuple[http.client.HTTPResponse, ConnectionDeadline]]:
    targets = judged(parts.hostname or "", parts.port or network.ports(parts.scheme), network)
    left = ends_at - time.monotonic()
    if left <= 0:
        raise FetchRefused(gettext_noop("The server took too long."))
    watch, connection, is_sent = ConnectionDeadline(left), None, False
    try:
        plain = connected(targets, ends_at)
        connection = plain
        watch.guard(plain)
        if parts.scheme == "https":
            connection = network.context().wrap_socket(plain, server_hostname=parts.hostname)
            watch.guard(connection)
        is_sent = True
        yield _ask(connection, parts, wanted), watch
    except (OSError, http.client.HTTPException, ValueError) as error:
        refused = FetchRefused(_words(error, watch))
        refused.sent = is_sent
        raise refused from error
    except FetchRefused as refused:
        refused.sent = is_sent
        raise
    finally:
        watch.stop()
        if connection is not None:
            connection.close()


def connected(targets: Sequence[tuple[str, int]], ends_at: float) -> socket.socket:
    """A connection to the first that answers: a host with IPv6 may stand behind a network without. Raises OSError.

    `ends_at`: by time.monotonic().
    """
    for number, target in enumerate(targets, 1):
        left = max(ends_at - time.monotonic(), 0.01)
        try:
            return socket.create_connection(target, timeout=min(STEP_SECONDS, left))
        except OSError:
            if number == len(targets):
                raise
    raise OSError("no address")


def _words(error: Exception, watch: ConnectionDeadline) -> str:
    if watch.is_over or isinstance(error, TimeoutError):
        return gettext_noop("The server took too long.")
    if isinstance(error, ssl.SSLError):
        return gettext_noop("The server's certificate cannot be trusted.")
    return gettext_noop("The server could not be reached, or spoke no HTTP.")


def _ask(connection: socket.socket, parts: SplitResult, wanted: OutgoingRequest) -> http.client.HTTPResponse:
    host = quote((parts.hostname or "").encode("idna").decode("ascii"), safe=".-:[]")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
    )
    # The Host field has the port if the URL has it (RFC 9110, 7.2).
    asked = http.client.HTTPConnection(f"[{host}]" if ":" in host else host, parts.port or PORTS["http"])
    asked.sock = connection  # connected already, so that http.client resolves nothing
    headers = {"User-Agent": wanted.user_agent, "Accept": wanted.accept, "Accept-Encoding": "identity"}
    asked.request(wanted.method, path, body=wanted.content, headers=headers | dict(wanted.headers))
    return asked.getresponse()


def _body(response: http.client.HTTPResponse, watch: ConnectionDeadline, wanted: OutgoingRequest) -> bytes:
    if response.status != 200:
        raise FetchRefused(f"The server answered {response.status}.")
    return _content(response, watch, wanted)


def _content(response: http.client.HTTPResponse, watch: ConnectionDeadline, wanted: OutgoingRequest) -> bytes:
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise FetchRefused(gettext_noop("The server sent it compressed, which was not asked for."))
    content = bytearray()
    while chunk := response.read(65_536):
        content += chunk
        if len(content) > wanted.max_bytes:
            raise FetchRefused(f"The {wanted.noun} is larger than {_size(wanted.max_bytes)}.")
    if watch.is_over:
        raise FetchRefused(gettext_noop("The server took too long."))
    if response.length:
        raise FetchRefused(gettext_noop("The server sent only part of it."))
    return bytes(content)


def _size(count: int) -> str:
    return f"{count // 1_000_000} MB" if count >= 1_000_000 else f"{count // 1000} kB"
