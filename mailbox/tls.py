"""When the certificates of mail servers end, as they show them at each handshake."""

from __future__ import annotations

import ssl
import threading
from datetime import UTC, datetime
from typing import Any

_SEEN: dict[tuple[str, int], datetime] = {}
_lock = threading.Lock()
MOST = 10_000  # servers; a process lives for a while


class NotingSocket(ssl.SSLSocket):
    """A TLS socket that notes the end of the certificate it has verified."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        try:
            ends, peer = (self.getpeercert() or {}).get("notAfter"), self.getpeername()
        except (OSError, ValueError):
            return
        if isinstance(ends, str) and self.server_hostname:
            note(self.server_hostname, int(peer[1]), ends)


def note(host: str, port: int, ends: str) -> None:
    """`ends` as OpenSSL writes it: "Nov 28 12:00:00 2027 GMT"."""
    with _lock:
        if len(_SEEN) >= MOST:
            _SEEN.clear()
        _SEEN[host.lower(), port] = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)


def end_of(host: str, port: int) -> datetime | None:
    """When the certificate ends that this process saw last."""
    return _SEEN.get((host.lower(), port))


def seen() -> dict[tuple[str, int], datetime]:
    """(host, port) -> when the certificate ends, of all that this process saw."""
    with _lock:
        return dict(_SEEN)


def noting(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context; sockets made with it note what they see."""
    changed: Any = context
    changed.sslsocket_class = NotingSocket
    return context
