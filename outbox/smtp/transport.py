"""The bytes beneath an SMTP session: connect, TLS, send, and read one reply, each with a deadline.

A non-blocking socket of our own beneath the event loop, not asyncio's streams: at the end of a mail it must be known,
without waiting, whether anything is unread (`look`), that the end leaves in one write, and what the kernel still holds
(`unacknowledged`). A stream reads and writes behind the caller's back and tells none of the three.
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

from mailbox import public_hosts
from outbox.smtp.blocking_calls import in_thread
from outbox.smtp.replies import MAX_REPLY_BYTES, MAX_REPLY_LINES, Garbage, Reply, joined, parse_line

TICK_SECONDS = 2.0
AT_ONCE = 16 * 1024  # bytes: what one TLS record holds
WANTS_READ = (ssl.SSLWantReadError, BlockingIOError)


class Lost(Exception):
    """The connection is of no more use. `is_garbage`: bytes came, but they were no reply."""

    def __init__(self, words: str, *, is_garbage: bool = False) -> None:
        super().__init__(words)
        self.is_garbage = is_garbage


async def _nothing() -> None:
    """What is done while nobody is told that a wait goes on."""


def _answer(question: asyncio.Future[bool], answer: bool) -> None:
    if not question.done():
        question.set_result(answer)


class Wire:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unread = b""
        self._has_asked = False  # nothing can have arrived before we look
        self.waiting: Callable[[], Awaitable[None]] = _nothing  # called every few seconds while a write waits
        sock.setblocking(False)

    @classmethod
    async def connect(cls, host: str, port: int, seconds: float, *, public_only: bool = False) -> Wire:
        """Try each address of the host within the time for all; raises OSError. In a thread: resolving names blocks."""
        sock = await in_thread(lambda: public_hosts.connect(host, port, seconds, public_only=public_only))
        # Replies are small and waited for: Nagle's algorithm would hold the last piece of each mail back.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    async def wrap(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """Begin TLS, verifying certificate and name; raises OSError (ssl.SSLError among them)."""
        self._socket = tls = context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._unread, until = b"", time.monotonic() + seconds
        while True:
            try:
                tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                is_ready = await self._ready(until)
            except ssl.SSLWantWriteError:
                is_ready = await self._ready(until, to_write=True)
            if not is_ready:
                raise TimeoutError("The TLS handshake took too long.")

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

    async def readable(self, until: float) -> bool:
        """Wait until then (time.monotonic()) for something to look at; whether there is."""
        return await self._ready(until)

    async def _ready(self, until: float, *, to_write: bool = False) -> bool:
        """Wait until the socket has something to read, or takes something; False when it has not by `until`."""
        loop, descriptor = asyncio.get_running_loop(), self._socket.fileno()
        begin, end = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
        is_ready: asyncio.Future[bool] = loop.create_future()
        begin(descriptor, _answer, is_ready, True)
        # Several times a mail: asyncio.timeout_at, which cancels the task, takes half as long again.
        timer = loop.call_at(until, _answer, is_ready, False)  # the loop's clock is time.monotonic()
        try:
            return await is_ready
        finally:
            timer.cancel()
            end(descriptor)

    def look(self) -> bool:
        """Take what has arrived without waiting for anything, and tell whether something had; raises Lost or OSError
        when the connection has ended."""
        try:
            self._take(self._socket.recv(AT_ONCE))
        except (*WANTS_READ, ssl.SSLWantWriteError):
            return False
        return True

    async def send(
        self,
        octets: bytes | memoryview,
        seconds: float,
        *,
        until: float = float("inf"),
        blocked: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
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
                await blocked()
            now, deadline = time.monotonic(), min(moved_at + seconds, until)
            if now >= deadline:
                raise TimeoutError("The server does not take what is sent.")
            is_ready = await self._ready(min(deadline, now + TICK_SECONDS), to_write=to_write)
            if not is_ready:
                await self.waiting()
        self._has_asked = True

    async def read_reply(self, seconds: float, waiting: Callable[[], Awaitable[None]] | None = None) -> Reply:
        """Read one reply, all of its lines, within the time for all of it; raises Lost or OSError."""
        deadline, texts = time.monotonic() + seconds, list[str]()
        total = 0
        while True:
            while b"\n" not in self._unread:
                if len(self._unread) > MAX_REPLY_BYTES:
                    raise Lost("The server's reply line does not end.", is_garbage=True)
                await self._receive(deadline, waiting or _nothing)
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

    async def has_line(self, deadline: float) -> bool:
        """Whether a line of a reply is there by then (time.monotonic()); what is wrong is found when it is read."""
        while b"\n" not in self._unread and len(self._unread) <= MAX_REPLY_BYTES:
            try:
                is_there = await self._look(deadline)
            except (Lost, OSError):
                return True
            if not is_there:
                return False
        return True

    async def _receive(self, deadline: float, waiting: Callable[[], Awaitable[None]]) -> None:
        while True:
            # What came in time is found, also when this process was stopped or kept meanwhile: a look behind the
            # deadline still takes what is there.
            if await self._look(min(deadline, time.monotonic() + TICK_SECONDS)):
                return
            if time.monotonic() >= deadline:
                raise Lost("The server did not answer in time.")
            await waiting()

    async def _look(self, until: float) -> bool:
        """Take what has arrived, or arrives by then; False when nothing has."""
        if self._has_asked and not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            self._has_asked = False
            is_ready = await self._ready(until)
            if not is_ready:
                return False
        while True:
            try:
                received = self._socket.recv(AT_ONCE)
            except WANTS_READ:
                is_ready = await self._ready(until)
            except ssl.SSLWantWriteError:
                is_ready = await self._ready(until, to_write=True)
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

    async def last_words(self, seconds: float = 1) -> Reply | None:
        """A whole reply that arrived before the connection broke, or arrives by then; else None."""
        try:
            return await self.read_reply(seconds)
        except (Lost, OSError):
            return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()
