"""Tests whether a mail server answers at a host name: TLS with a verified certificate, and its greeting.

It sends no user name, no secret, and only the commands that TLS needs (EHLO and STARTTLS on a submission port, RFC
3207). The host is resolved once: the addresses that were checked are those connected to, as in mailbox.safe_http.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from mailbox import safe_http
from mailbox.safe_http import ConnectionDeadline, FetchRefused, Network

SECONDS = 5.0  # for the whole test of one server
MAX_BYTES = 16_384


@dataclass(frozen=True)
class Candidate:
    """A server to test. `kind`: "imap" or "smtp"; `security`: "tls" or "starttls"."""

    kind: str
    host: str
    port: int
    security: str


class _LineReader:
    """Reads lines from a connection; raises FetchRefused after MAX_BYTES or at the connection's end."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.unread, self.left = connection, b"", MAX_BYTES

    def read(self) -> str:
        while b"\n" not in self.unread:
            received = self.connection.recv(4096)
            self.left -= len(received)
            if not received or self.left < 0:
                raise FetchRefused(
                    "The server closed the connection." if not received else "The server sends without end."
                )
            self.unread += received
        line, _, self.unread = self.unread.partition(b"\n")
        return line.decode("ascii", "replace").strip()

    def reply(self, code: str) -> list[str]:
        """The texts of an SMTP reply's lines. Raises FetchRefused when the reply has another code."""
        lines = [self.read()]
        while lines[-1][3:4] == "-":
            lines.append(self.read())
        if not all(line.startswith(code) for line in lines):
            raise FetchRefused(f"The server answered “{lines[-1][:200]}”.")
        return [line[4:] for line in lines]


def probe(candidate: Candidate, network: Network, port_of: Callable[[int], int], seconds: float = SECONDS) -> None:
    """Return when the server answers and its certificate is valid for its name; else raise FetchRefused, whose str()
    is a sentence."""
    targets = safe_http.judged(candidate.host, port_of(candidate.port), network)
    watch, connection = ConnectionDeadline(seconds), None
    try:
        connection = safe_http.connected(targets, time.monotonic() + seconds)
        connection.settimeout(seconds)
        watch.guard(connection)
        if candidate.security == "starttls":
            _until_starttls(connection)
        connection = network.context().wrap_socket(connection, server_hostname=candidate.host)
        watch.guard(connection)
        if candidate.security == "tls":
            _greeting(candidate.kind, _LineReader(connection))
        if watch.is_over:
            raise TimeoutError
        _leave(candidate.kind, connection)
    except (OSError, ValueError, FetchRefused) as error:
        raise FetchRefused(_words(error, watch)) from error
    finally:
        watch.stop()
        if connection is not None:
            connection.close()


def _greeting(kind: str, line: _LineReader) -> None:
    if kind == "smtp":
        line.reply("220")
        return
    words = line.read()
    if not words.upper().startswith("* OK"):  # RFC 9051, 7.1
        raise FetchRefused(f"The server answered “{words[:200]}”.")


def _until_starttls(connection: socket.socket) -> None:
    line = _LineReader(connection)
    line.reply("220")
    connection.sendall(f"EHLO {settings.EHLO_NAME or '[127.0.0.1]'}\r\n".encode("ascii"))
    if not any(each.upper().strip() == "STARTTLS" for each in line.reply("250")):
        raise FetchRefused("The server does not offer STARTTLS.")
    connection.sendall(b"STARTTLS\r\n")
    line.reply("220")
    if line.unread:  # text in clear after the 220 may have been injected by an attacker (CVE-2011-0411)
        raise FetchRefused("The server sent more than its answer to STARTTLS.")


def _leave(kind: str, connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(b"QUIT\r\n" if kind == "smtp" else b"a LOGOUT\r\n")


def _words(error: Exception, watch: ConnectionDeadline) -> str:
    if watch.is_over or isinstance(error, TimeoutError):
        return "The server did not answer in time."
    if isinstance(error, FetchRefused):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The server's certificate cannot be trusted: {error.verify_message}."
    if isinstance(error, ssl.SSLError):
        return "The server speaks no TLS there."
    return "Nothing answers there."
