"""The socket of an SMTP session: connect, TLS, send, and read one reply, each with a deadline.

A non-blocking socket rather than asyncio's streams: at the end of a mail we must know, without waiting, whether
anything is unread (`look`) and what the kernel has not sent (`unacknowledged`), and the end must be one write. Streams
read and write ahead of their caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from mailbox import public_hosts
from mailbox.endpoints import Endpoint
from outbox.smtp.blocking_calls import TICK_SECONDS, in_thread
from outbox.smtp.replies import MAX_REPLY_BYTES, MAX_REPLY_LINES, Reply, joined, parse_line

AT_ONCE = 16 * 1024  # bytes: the size of one TLS record
READS_IN_A_TURN = 16  # of the event loop, at most; a reply takes one or two
WANTS_READ = (ssl.SSLWantReadError, BlockingIOError)
Waiting: TypeAlias = Callable[[], Awaitable[None]]


class Lost(Exception):
    """The connection cannot be used any more."""


class Late(Lost):
    """The server did not answer in time."""


class Garbage(Lost):
    """The server sent something else than an SMTP reply."""


async def _nothing() -> None:
    pass


def _answer(question: asyncio.Future[bool], answer: bool) -> None:
    if not question.done():
        question.set_result(answer)


class Wire:
    """The socket of one session, plain or TLS. Its methods raise Lost and OSError (ssl.SSLError, TimeoutError)."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unread = b""
        self._reads = 0
        self._has_asked = False  # nothing was read since we sent, so the answer has yet to come
        sock.setblocking(False)

    @classmethod
    async def connect(cls, endpoint: Endpoint, seconds: float, waiting: Waiting) -> Wire:
        """Connect to one of the host's addresses; `seconds` is for all of them. On a thread, as DNS blocks, for as long
        as the resolver likes: `waiting` is called every few seconds. Raises OSError.
        """
        host, port, public_only = endpoint.host, endpoint.port, endpoint.public_only
        sock = await in_thread(lambda: public_hosts.connect(host, port, seconds, public_only=public_only), waiting)
        # Nagle's algorithm would hold back the last piece of each mail.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    async def wrap(self, context: ssl.SSLContext, host: str, seconds: float, waiting: Waiting) -> str:
        """Start TLS, and verify certificate and host name; returns the version, as in "TLSv1.3".

        `waiting` is called every few seconds. Raises OSError, which includes ssl.SSLError and TimeoutError.
        """
        self._socket = tls = context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._unread = b""
        if not await self._done(tls.do_handshake, time.monotonic() + seconds, waiting):
            raise TimeoutError("The TLS handshake took too long.")
        return tls.version() or ""

    def local_literal(self) -> str:
        """Our address literal, for EHLO of a client without a name (RFC 5321 4.1.3)."""
        address = str(self._socket.getsockname()[0])
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    def has_unread(self) -> bool:
        """Whether octets were read from the socket that no reply has used yet."""
        return bool(self._unread)

    def unacknowledged(self) -> int:
        """Octets in our kernel that the peer has not acknowledged; 0 if the system does not say."""
        try:
            found = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except OSError:
            return 0
        return int(struct.unpack("i", found)[0])

    async def ready(self, until: float, *, to_write: bool = False) -> bool:
        """Wait until the socket is readable (or writable); False when it is not by `until` (time.monotonic())."""
        loop, descriptor = asyncio.get_running_loop(), self._socket.fileno()
        begin, end = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
        is_ready: asyncio.Future[bool] = loop.create_future()
        begin(descriptor, _answer, is_ready, True)
        # Not asyncio.timeout_at, which takes half as long again, several times a mail.
        timer = loop.call_at(until, _answer, is_ready, False)  # the loop's clock is time.monotonic()
        try:
            return await is_ready
        finally:
            timer.cancel()
            end(descriptor)

    async def _done(self, act: Callable[[], object], until: float, waiting: Waiting = _nothing) -> bool:
        """Call `act`, again whenever the socket is ready for more of it; False when it is not done by `until`."""
        while True:
            try:
                act()
                return True
            except WANTS_READ:
                to_write = False
            except ssl.SSLWantWriteError:
                to_write = True
            if not await self.ready(min(until, time.monotonic() + TICK_SECONDS), to_write=to_write):
                if time.monotonic() >= until:
                    return False
                await waiting()

    def look(self) -> bool:
        """Read what has arrived, without waiting; return whether anything had. Raises Lost or OSError at its end."""
        try:
            self._receive()
        except (*WANTS_READ, ssl.SSLWantWriteError):
            return False
        return True

    async def send(
        self,
        octets: bytes | memoryview,
        seconds: float,
        waiting: Waiting = _nothing,
        *,
        until: float = float("inf"),
        blocked: Waiting = _nothing,
    ) -> None:
        """Send all octets.

        seconds: how long the kernel may take nothing; `waiting` is called every few seconds. until: deadline
        (time.monotonic()). blocked: called when the kernel does not take all at once.

        Raises OSError, which includes TimeoutError. Then the server lacks at least the last octet: it is still here, or
        the end of its TLS record is.
        """
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
            await blocked()
            now, deadline = time.monotonic(), min(moved_at + seconds, until)
            if now >= deadline:
                raise TimeoutError("The server does not take what is sent.")
            if not await self.ready(min(deadline, now + TICK_SECONDS), to_write=to_write):
                await waiting()
        self._has_asked = True

    async def read_reply(self, seconds: float, waiting: Waiting = _nothing) -> Reply:
        """Read one reply with all its lines; `seconds` is for all of it. Raises Lost or OSError."""
        deadline, texts = time.monotonic() + seconds, list[str]()
        total = first = 0
        while True:
            while b"\n" not in self._unread:
                if len(self._unread) > MAX_REPLY_BYTES:
                    raise Garbage("The server's reply line does not end.")
                await self._read_more(deadline, waiting)
            line, _, self._unread = self._unread.partition(b"\n")
            line = line.removesuffix(b"\r")
            total += len(line)
            if (parsed := parse_line(line)) is None:
                # Not quoted: it may be the banner of another service, which the person who chose the host must not see.
                raise Garbage("The server answered what is no SMTP reply.")
            code, more, text = parsed
            if texts and code // 100 != first // 100:  # RFC 5321 4.2.1: each line has the same code
                raise Garbage("The lines of the server's reply contradict each other.")
            first = code
            texts.append(text)
            if not more:
                return joined(code, texts)
            if total > MAX_REPLY_BYTES or len(texts) > MAX_REPLY_LINES:
                raise Garbage("The server's reply does not end.")

    async def has_line(self, deadline: float) -> bool:
        """Wait until a line of a reply is there; False when it is not by `deadline` (time.monotonic()). Raises nothing:
        errors are raised when it is read."""
        with contextlib.suppress(Lost, OSError):
            while b"\n" not in self._unread and len(self._unread) <= MAX_REPLY_BYTES:
                if not await self._look(deadline):
                    return False
        return True

    async def _read_more(self, deadline: float, waiting: Waiting) -> None:
        # Even after the deadline, what has arrived is read: this process may have been stopped meanwhile.
        while not await self._look(min(deadline, time.monotonic() + TICK_SECONDS)):
            if time.monotonic() >= deadline:
                raise Late("The server did not answer in time.")
            await waiting()

    async def _look(self, until: float) -> bool:
        """Read what has arrived or arrives by `until`; False when nothing has."""
        if self._has_asked and not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            self._has_asked = False
            if not await self.ready(until):
                return False
        if not await self._done(self._receive, until):
            return False
        self._reads += 1
        if self._reads % READS_IN_A_TURN == 0:  # a server that sends octet by octet, without end, keeps nobody waiting
            await asyncio.sleep(0)
        return True

    def _receive(self) -> None:
        if not (received := self._socket.recv(AT_ONCE)):
            raise Lost(f"The server closed the connection{self._half_a_reply()}")
        self._unread += received

    def _half_a_reply(self) -> str:
        """The beginning of an unfinished reply; "" if it does not look like one."""
        half = self._unread[:200].decode("utf-8", "replace")
        if not half:
            return "."
        return f" in the middle of its reply: {half}" if half[:3].isdigit() else " in the middle of a line."

    def close(self) -> None:
        """Close the socket without a TLS closure alert. Raises nothing."""
        with contextlib.suppress(OSError):
            self._socket.close()
