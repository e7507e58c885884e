"""The bytes beneath an SMTP session: connect, TLS, send, and read one reply, each with a deadline.

Once connected, the socket never blocks: who sends or reads yields what it waits for (see eventloop.coroutines).
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable

from mailbox import public_hosts
from outbox.eventloop.coroutines import Ready, Steps
from outbox.smtp.replies import MAX_REPLY_BYTES, MAX_REPLY_LINES, Garbage, Reply, joined, parse_line

TICK_SECONDS = 2.0
AT_ONCE = 16 * 1024  # bytes: what one TLS record holds
WANTS_READ = (ssl.SSLWantReadError, BlockingIOError)


class Lost(Exception):
    """The connection is of no more use. `is_garbage`: bytes came, but they were no reply."""

    def __init__(self, words: str, *, is_garbage: bool = False) -> None:
        super().__init__(words)
        self.is_garbage = is_garbage


class Wire:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unread = b""
        self._has_asked = False  # nothing can have arrived before we look
        self.waiting: Callable[[], None] = lambda: None  # called every few seconds while a write waits
        sock.setblocking(False)

    @classmethod
    def connect(cls, host: str, port: int, seconds: float, *, public_only: bool = False) -> Wire:
        """Try each address of the host within the time for all; raises OSError."""
        sock = public_hosts.connect(host, port, seconds, public_only=public_only)
        # Replies are small and waited for: Nagle's algorithm would hold the last piece of each mail back.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    def wrap(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """Begin TLS, verifying certificate and name; raises OSError (ssl.SSLError among them). Blocks."""
        self._socket.settimeout(seconds)
        self._socket = context.wrap_socket(self._socket, server_hostname=host)
        self._socket.setblocking(False)
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

    def unacknowledged(self) -> int:
        """Octets that were handed to the kernel and that the other end's kernel does not have yet; 0 if not known."""
        try:
            found = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except OSError:
            return 0
        return int(struct.unpack("i", found)[0])

    def readable(self, until: float) -> Ready:
        """To be yielded: wait until then (time.monotonic()) for something to look at."""
        return Ready(self._socket.fileno(), until)

    def look(self) -> bool:
        """Take what has arrived without waiting for anything, and tell whether something had; raises Lost or OSError
        when the connection has ended."""
        try:
            self._take(self._socket.recv(AT_ONCE))
        except (*WANTS_READ, ssl.SSLWantWriteError):
            return False
        return True

    def send(
        self,
        octets: bytes | memoryview,
        seconds: float,
        *,
        until: float = float("inf"),
        blocked: Callable[[], Steps[None]] | None = None,
    ) -> Steps[None]:
        """Send all; raises OSError, TimeoutError among them: after `seconds` in which the kernel took nothing, or at
        `until` (time.monotonic()). Then the server lacks at least the last octet: what was not handed to the kernel,
        or the end of its TLS record. `blocked` is run when the kernel does not take all at once."""
        moved_at, left = time.monotonic(), memoryview(octets)
        while left:
            try:
                left = left[self._socket.send(left) :]
                moved_at = time.monotonic()
                continue
            except ssl.SSLWantReadError:
                to_write = False
            except (ssl.SSLWantWriteError, BlockingIOError):
                to_write = True
            if blocked is not None:
                yield from blocked()
            now, deadline = time.monotonic(), min(moved_at + seconds, until)
            if now >= deadline:
                raise TimeoutError("The server does not take what is sent.")
            is_ready = yield Ready(self._socket.fileno(), min(deadline, now + TICK_SECONDS), to_write)
            if not is_ready:
                self.waiting()
        self._has_asked = True

    def read_reply(self, seconds: float, waiting: Callable[[], None]) -> Steps[Reply]:
        """Read one reply, all of its lines, within the time for all of it; raises Lost or OSError."""
        deadline, texts = time.monotonic() + seconds, list[str]()
        total = 0
        while True:
            while b"\n" not in self._unread:
                if len(self._unread) > MAX_REPLY_BYTES:
                    raise Lost("The server's reply line does not end.", is_garbage=True)
                yield from self._receive(deadline, waiting)
            line, _, self._unread = self._unread.partition(b"\n")
            line = line.removesuffix(b"\r")
            total += len(line)
            try:
                code, more, text = parse_line(line)
            except Garbage:
                # Not quoted: it may be any service's banner, and whoever chose the host may read it nowhere else.
                raise Lost("The server answered what is no SMTP reply.", is_garbage=True) from None
            texts.append(text)
            if not more:
                return joined(code, texts)
            if total > MAX_REPLY_BYTES or len(texts) > MAX_REPLY_LINES:
                raise Lost("The server's reply does not end.", is_garbage=True)

    def has_line(self, deadline: float) -> Steps[bool]:
        """Whether a line of a reply is there by then (time.monotonic()); what is wrong is found when it is read."""
        while b"\n" not in self._unread and len(self._unread) <= MAX_REPLY_BYTES:
            if time.monotonic() >= deadline:
                return False
            try:
                is_there = yield from self._look(deadline)
            except (Lost, OSError):
                return True
            if not is_there:
                return False
        return True

    def _receive(self, deadline: float, waiting: Callable[[], None]) -> Steps[None]:
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise Lost("The server did not answer in time.")
            if (yield from self._look(min(deadline, now + TICK_SECONDS))):
                return
            waiting()

    def _look(self, until: float) -> Steps[bool]:
        """Take what has arrived, or arrives by then; False when nothing has."""
        if self._has_asked and not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            self._has_asked = False
            is_ready = yield Ready(self._socket.fileno(), until)
            if not is_ready:
                return False
        while True:
            try:
                received = self._socket.recv(AT_ONCE)
            except WANTS_READ:
                is_ready = yield Ready(self._socket.fileno(), until)
            except ssl.SSLWantWriteError:
                is_ready = yield Ready(self._socket.fileno(), until, to_write=True)
            else:
                break
            if not is_ready:
                return False
        self._take(received)
        return True

    def _take(self, received: bytes) -> None:
        if not received:
            raise Lost(f"The server closed the connection{self._half_a_reply()}")
        self._unread += received

    def _half_a_reply(self) -> str:
        """What came of a reply that did not end, where it begins as one."""
        half = self._unread[:200].decode("utf-8", "replace")
        if not half:
            return "."
        return f" in the middle of its reply: {half}" if half[:3].isdigit() else " in the middle of a line."

    def last_words(self, seconds: float = 1) -> Steps[Reply | None]:
        """A whole reply that arrived before the connection broke, or arrives by then; else None."""
        try:
            return (yield from self.read_reply(seconds, lambda: None))
        except (Lost, OSError):
            return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()
