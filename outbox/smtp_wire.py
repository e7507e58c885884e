"""The bytes beneath an SMTP session: connect, TLS, send, and read one reply, each with a deadline."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable

from outbox.smtp_replies import MAX_REPLY_BYTES, MAX_REPLY_LINES, Garbage, Reply, joined, parse_line

TICK_SECONDS = 2.0


class Lost(Exception):
    """The connection is of no more use. `is_garbage`: bytes came, but they were no reply."""

    def __init__(self, words: str, *, is_garbage: bool = False) -> None:
        super().__init__(words)
        self.is_garbage = is_garbage


class Wire:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unread = b""

    @classmethod
    def connect(cls, host: str, port: int, seconds: float) -> Wire:
        """Try each address of the host within the time for all; raises OSError."""
        deadline = time.monotonic() + seconds
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for index, (*_, address) in enumerate(found):
            left = max(0.1, deadline - time.monotonic()) / (len(found) - index)
            try:
                sock = socket.create_connection(address[:2], timeout=left)  # type: ignore[arg-type]
            except OSError:
                if index == len(found) - 1:
                    raise
            else:
                # Replies are small and waited for: Nagle's algorithm would hold the last piece of each mail back.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return cls(sock)
        raise OSError(f"{host} has no address")

    def wrap(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """Begin TLS, verifying certificate and name; raises OSError (ssl.SSLError among them)."""
        self._socket.settimeout(seconds)
        self._socket = context.wrap_socket(self._socket, server_hostname=host)
        self._unread = b""

    def local_literal(self) -> str:
        """Our address as EHLO wants it of a client without a name (RFC 5321 4.1.3)."""
        try:
            address = str(self._socket.getsockname()[0])
        except OSError:
            address = "127.0.0.1"
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    def has_unread(self) -> bool:
        return bool(self._unread)

    def send(self, octets: bytes | memoryview, seconds: float) -> None:
        """Send all; raises OSError, TimeoutError among them."""
        self._socket.settimeout(seconds)
        self._socket.sendall(octets)

    def read_reply(self, seconds: float, waiting: Callable[[], None]) -> Reply:
        """Read one reply, all of its lines, within the time for all of it; raises Lost or OSError."""
        deadline, texts = time.monotonic() + seconds, list[str]()
        total = 0
        while True:
            line = self._read_line(deadline, waiting)
            total += len(line)
            try:
                code, more, text = parse_line(line)
            except Garbage as garbage:
                raise Lost(f"The server answered what is no SMTP reply: {garbage}", is_garbage=True) from None
            texts.append(text)
            if not more:
                return joined(code, texts)
            if total > MAX_REPLY_BYTES or len(texts) > MAX_REPLY_LINES:
                raise Lost("The server's reply does not end.", is_garbage=True)

    def has_line(self, deadline: float) -> bool:
        """Whether a line of a reply is there by then (time.monotonic()); what is wrong is found when it is read."""
        while b"\n" not in self._unread and len(self._unread) <= MAX_REPLY_BYTES:
            if (left := deadline - time.monotonic()) <= 0:
                return False
            try:
                self._socket.settimeout(left)
                received = self._socket.recv(8192)
            except TimeoutError:
                return False
            except OSError:
                return True
            if not received:
                return True
            self._unread += received
        return True

    def _read_line(self, deadline: float, waiting: Callable[[], None]) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > MAX_REPLY_BYTES:
                raise Lost("The server's reply line does not end.", is_garbage=True)
            left = deadline - time.monotonic()
            if left <= 0:
                raise Lost("The server did not answer in time.")
            self._socket.settimeout(min(left, TICK_SECONDS))
            try:
                received = self._socket.recv(8192)
            except TimeoutError:
                waiting()
                continue
            if not received:
                half = self._unread[:200].decode("utf-8", "replace")
                raise Lost(f"The server closed the connection{f' in the middle of its reply: {half}' if half else '.'}")
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        return line.removesuffix(b"\r")

    def last_words(self) -> Reply | None:
        """A whole reply that arrived before the connection broke, or None."""
        try:
            return self.read_reply(1, lambda: None)
        except (Lost, OSError):
            return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()
