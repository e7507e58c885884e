"""One remote image over HTTP, for a person who asked for it. The only place that follows an address from a mail.

Whoever wrote the mail chose the address, so it is taken for an attack on the network we stand in (SSRF) and on us:
only http and https on their own ports, only addresses of the public Internet, resolved once and connected to as
resolved (a name that says another address the second time reaches nothing), each redirect judged again, no cookies,
no referrer, no compression, and an end to time and bytes. Nothing but a raster image of sane dimensions is accepted.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from django.utils.translation import gettext_noop
from PIL import Image

USER_AGENT = "Mozilla/5.0 (compatible; PRX-Email image proxy)"  # the same for everyone: it tells nothing of the reader
MAX_BYTES = 2_000_000
MAX_PIXELS = 25_000_000
MAX_REDIRECTS = 3
MAX_ADDRESS = 4_096
SECONDS = 10.0  # for one image, redirects and all
STEP_SECONDS = 5.0  # for one silence of the server
PORTS = {"http": 80, "https": 443}
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}

# Global by the registries, and still doors to somewhere else: NAT64 (RFC 6052, 8215), 6to4 (RFC 3056), Teredo, and
# the deprecated forms that embed an IPv4 address.
_DOORS = tuple(
    ipaddress.ip_network(each)
    for each in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "::ffff:0:0:0/96", "fec0::/10")
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ImageRefused(Exception):
    """There is no image to show; str() says why in a short sentence."""


@dataclass(frozen=True)
class FetchedImage:
    content_type: str
    content: bytes


def is_public(address: Address) -> bool:
    """Whether this is a host of the public Internet (IANA's special-purpose registries, RFC 6890)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return False  # a resolver has no reason to answer with these
        if any(address in network for network in _DOORS) or address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def resolve(host: str, port: int) -> list[Address]:
    """All addresses of a host; raises ImageRefused."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ImageRefused(gettext_noop("The host's name is not known.")) from error
    return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]


@dataclass(frozen=True)
class Network:
    """How the outside is reached. Tests set another one, which knows a server on this machine; nothing else does."""

    resolve: Callable[[str, int], Sequence[Address]] = resolve
    is_allowed: Callable[[Address], bool] = is_public
    ports: Callable[[str], int] = PORTS.__getitem__
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context
    seconds: float = SECONDS


OUTSIDE = Network()


def fetch(address: str, network: Network = OUTSIDE) -> FetchedImage:
    """The image at an http or https address; raises ImageRefused. Takes at most `network.seconds` and a lookup."""
    ends_at = time.monotonic() + network.seconds
    for _ in range(MAX_REDIRECTS + 1):
        parts = _checked(address, network)
        with _answer(parts, network, ends_at) as (response, watch):
            if response.status in (301, 302, 303, 307, 308):
                address = urljoin(address, response.headers.get("Location", ""))
                continue
            content = _body(response, watch)
        return FetchedImage(checked_type(content), content)
    raise ImageRefused(gettext_noop("The server redirects too often."))


def _checked(address: str, network: Network) -> SplitResult:
    if len(address) > MAX_ADDRESS:
        raise ImageRefused(gettext_noop("The address is too long."))
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise ImageRefused(gettext_noop("This is no address.")) from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise ImageRefused(gettext_noop("Only http and https addresses are fetched."))
    if port not in (None, network.ports(parts.scheme)):
        raise ImageRefused(gettext_noop("Only the ports 80 and 443 are asked."))
    if parts.username is not None or parts.password is not None:
        raise ImageRefused(gettext_noop("The address holds a user name."))
    return parts


def _chosen(parts: SplitResult, network: Network) -> tuple[str, int]:
    """The one address that is connected to. A host with any address that is not public is not asked at all."""
    port = network.ports(parts.scheme)
    found = network.resolve(parts.hostname or "", port)
    if not found:
        raise ImageRefused(gettext_noop("The host's name is not known."))
    if not all(network.is_allowed(each) for each in found):
        raise ImageRefused(gettext_noop("The host is not on the public Internet."))
    return str(found[0]), port


class Watch:
    """Ends the connection at the deadline, whatever it waits for: a server that drips bytes resets every time-out."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def guard(self, connection: socket.socket) -> None:
        self._socket = connection
        if self.is_over:
            self._end()

    def _end(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # The descriptor's own shutdown: SSLSocket's would wait for the lock that the reader holds.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def stop(self) -> None:
        self._timer.cancel()


@contextlib.contextmanager
def _answer(parts: SplitResult, network: Network, ends_at: float) -> Iterator[tuple[http.client.HTTPResponse, Watch]]:
    target = _chosen(parts, network)
    left = ends_at - time.monotonic()
    if left <= 0:
        raise ImageRefused(gettext_noop("The server took too long."))
    watch, connection = Watch(left), None
    try:
        plain = socket.create_connection(target, timeout=min(STEP_SECONDS, left))
        connection = plain
        watch.guard(plain)
        if parts.scheme == "https":
            connection = network.context().wrap_socket(plain, server_hostname=parts.hostname)
            watch.guard(connection)
        yield _ask(connection, parts), watch
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ImageRefused(_words(error, watch)) from error
    finally:
        watch.stop()
        if connection is not None:
            connection.close()


def _words(error: Exception, watch: Watch) -> str:
    if watch.is_over or isinstance(error, TimeoutError):
        return gettext_noop("The server took too long.")
    if isinstance(error, ssl.SSLError):
        return gettext_noop("The server's certificate cannot be trusted.")
    return gettext_noop("The server could not be reached, or spoke no HTTP.")


def _ask(connection: socket.socket, parts: SplitResult) -> http.client.HTTPResponse:
    host = quote((parts.hostname or "").encode("idna").decode("ascii"), safe=".-:[]")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
    )
    asked = http.client.HTTPConnection(f"[{host}]" if ":" in host else host)
    asked.sock = connection  # connected already: http.client resolves nothing
    asked.request("GET", path, headers={"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"})
    return asked.getresponse()


def _body(response: http.client.HTTPResponse, watch: Watch) -> bytes:
    if response.status != 200:
        raise ImageRefused(f"The server answered {response.status}.")
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise ImageRefused(gettext_noop("The server sent it compressed, which was not asked for."))
    content = bytearray()
    while chunk := response.read(65_536):
        content += chunk
        if len(content) > MAX_BYTES:
            raise ImageRefused(f"The image is larger than {MAX_BYTES // 1_000_000} MB.")
    if watch.is_over:
        raise ImageRefused(gettext_noop("The server took too long."))
    if response.length:
        raise ImageRefused(gettext_noop("The server sent only part of it."))
    return bytes(content)


def checked_type(content: bytes) -> str:
    """The image's type by its bytes, whatever the server calls it; raises ImageRefused. Reads its head only."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=tuple(TYPES)) as image:
                width, height, kind = *image.size, image.format or ""
    except Exception as error:  # Pillow raises nearly everything for a broken file
        raise ImageRefused(gettext_noop("This is no PNG, JPEG, GIF or WebP image.")) from error
    if width * height > MAX_PIXELS:
        raise ImageRefused(gettext_noop("The image has too many pixels."))
    return TYPES[kind]
