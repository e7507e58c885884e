"""TLS to mail servers: contexts that verify certificates and host names, and when each certificate expires.

Every handshake notes the expiry of the server's certificate in this process. `mailbox.accounts.seen_certificates`
stores it, so that an alert can warn before the server becomes unreachable.
"""

from __future__ import annotations

import ssl
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext

from mailbox.endpoints import Endpoint

_making, _lock = threading.Lock(), threading.Lock()
_expiries: dict[tuple[str, int], datetime] = {}  # (host, port) -> notAfter of the certificate this process saw last
MOST_EXPIRIES = 10_000  # servers; then the dictionary begins anew, since a process lives for weeks


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """A client context that verifies the certificate and the host name, trusting the extra CA beside the system's.

    Shared by connections and threads: reading the system's authorities takes longer than a sign-in. It is made anew
    each hour, as these authorities may have been renewed.
    """
    with _making:  # several sessions that begin at once wait for one
        return _tls_context(endpoint.ca_certificate, int(time.monotonic() // 3600))


@lru_cache(maxsize=64)
def _tls_context(ca_certificate: str, _hour: int) -> ssl.SSLContext:
    context = _noting_expiries(ssl.create_default_context())
    if ca_certificate:
        context.load_verify_locations(cadata=ca_certificate)
    return context


def pem_problem(pem: str) -> str | None:
    """Say why the text is not a list of CA certificates in PEM, or None."""
    if "PRIVATE KEY" in pem:
        return gettext("This holds a private key. Paste only the certificate.")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError, TypeError):  # TypeError: characters beyond ASCII
        return gettext("This is not a certificate in PEM: it starts with -----BEGIN CERTIFICATE-----.")
    return None


class _ExpiryNotingSocket(ssl.SSLSocket):
    """A TLS socket that notes when the certificate it has verified expires."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        try:
            not_after, peer = (self.getpeercert() or {}).get("notAfter"), self.getpeername()
        except (OSError, ValueError):
            return
        if isinstance(not_after, str) and self.server_hostname:
            _note_expiry(self.server_hostname, int(peer[1]), not_after)


def _note_expiry(host: str, port: int, not_after: str) -> None:
    """`not_after` as OpenSSL writes it: "Nov 28 12:00:00 2027 GMT"."""
    with _lock:
        if len(_expiries) >= MOST_EXPIRIES:
            _expiries.clear()
        _expiries[host.lower(), port] = datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC)


def certificate_expiry(host: str, port: int) -> datetime | None:
    """When the certificate expires that this process saw last at this server; None when it saw none."""
    return _expiries.get((host.lower(), port))


def certificate_expiries() -> dict[tuple[str, int], datetime]:
    """(host, port) -> when the certificate expires, of all servers that this process connected to."""
    with _lock:
        return dict(_expiries)


def _noting_expiries(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context; its sockets note the expiry of each certificate they verify."""
    changed: Any = context
    changed.sslsocket_class = _ExpiryNotingSocket
    return context
