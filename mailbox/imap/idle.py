"""IMAP IDLE (RFC 2177): waits for changes in INBOX, and asks STATUS of other folders in between.

imapclient signs in, which blocks. The waiting is done here with asyncio, so that a thousand connections need no thread
each. imapclient's idle_check() is not used: it returns nothing at end of file, so that a closed connection looks like
a quiet one. Only the fact that something changed is reported; the sync that follows reads the changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, NetworkError, ProviderError
from mailbox.imap.fetch import FolderStatus, text
from mailbox.imap.responses import refused, server_words, unreachable
from mailbox.imap.session import ImapSession

# RFC 3501, 7.3.1, 7.4.1 and 7.4.2; VANISHED is RFC 7162's word for EXPUNGE. RECENT comes with an EXISTS.
_NEWS = re.compile(rb"\*\s+(?:\d+\s+(?:EXISTS|EXPUNGE|FETCH)|VANISHED)\b", re.I)
_GOODBYE = re.compile(rb"\*\s+BYE\b ?(.*)", re.I)
_MOST_WAITING = 64 * 1024  # longest line in bytes
_MOST_OF_AN_IDLE = 16 * 1024 * 1024  # bytes that one IDLE may bring
# A peer whose machine is gone sends nothing. TCP keep-alive probes after 60 s of silence and gives up 60 s later.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 120_000}
# Dovecot sends "* OK Still here" every two minutes. When none came for 2.5 times the longest interval seen, wait()
# returns, and the caller renews the IDLE, which shows whether the connection is alive.
RHYTHM_MISSED = 2.5
SHORTEST_RHYTHM = 30.0  # seconds
_NAMES = (b"UIDVALIDITY", b"UIDNEXT", b"MESSAGES", b"HIGHESTMODSEQ")  # in the order of FolderNumbers
_NUMBER = re.compile(rb"(" + b"|".join(_NAMES) + rb") (\d+)", re.I)


@dataclass(frozen=True)
class FolderNumbers:
    """Numbers of EXAMINE or STATUS that show that a folder changed. None: unknown, or not stated by the server."""

    uidvalidity: int | None = None
    uidnext: int | None = None
    exists: int | None = None  # messages
    highestmodseq: int | None = None  # RFC 7162: also rises when flags change

    def is_news_to(self, known: FolderNumbers) -> bool:
        """Whether a folder that had the numbers `known` at its last sync needs another. A missing number counts as a
        change, except HIGHESTMODSEQ."""
        pairs = [
            (self.uidvalidity, known.uidvalidity),
            (self.uidnext, known.uidnext),
            (self.exists, known.exists),
        ]
        has_flags = None not in (self.highestmodseq, known.highestmodseq)
        return any(ours is None or ours != theirs for ours, theirs in pairs) or (
            has_flags and self.highestmodseq != known.highestmodseq
        )


class IdleNotOffered(ProviderError):
    """The server does not offer IDLE; its accounts are synced by polling alone."""


class IdleSession:
    """A signed-in connection with INBOX open read-only. `open` blocks; all else must run in one event loop."""

    def __init__(self, session: ImapSession, endpoint: Endpoint, status: FolderStatus, command_timeout: float) -> None:
        self._beneath: Any = session._client._imap
        self._socket: Any = self._beneath.sock
        self._client, self._endpoint, self._timeout = session._client, endpoint, command_timeout
        self._items = "UIDVALIDITY UIDNEXT MESSAGES"
        self.inbox = FolderNumbers(status.uidvalidity, status.uidnext, status.exists, status.highestmodseq)
        self._bytes, self._brought = bytearray(self._left_over()), 0
        self._beneath.file = None  # frees imaplib's buffer of 64 kB, which is no longer used
        self._tag: bytes | None = None  # tag of the IDLE that is running
        self._commands = 0
        self._changed = False
        self._heard_at, self._rhythm = time.monotonic(), 0.0

    @classmethod
    def open(cls, endpoint: Endpoint, *, connect_timeout: float, command_timeout: float) -> IdleSession:
        """Sign in and open INBOX; time-outs in seconds. Raises IdleNotOffered, and what ImapSession.open and examine
        raise."""
        session = ImapSession.open(endpoint, connect_timeout=connect_timeout, command_timeout=command_timeout)
        try:
            with session._errors():
                is_offered = session._client.has_capability("IDLE")
            if not is_offered:
                raise IdleNotOffered("The server does not offer IDLE.")
            status = session.examine("INBOX")
            _keep_alive(session._client._imap.sock)
            found = cls(session, endpoint, status, command_timeout)
            if session._client.has_capability("CONDSTORE"):
                found._items += " HIGHESTMODSEQ"
            return found
        except BaseException as error:
            session.close(politely=isinstance(error, MailError) and not isinstance(error, NetworkError))
            raise

    async def wait(self, seconds: float) -> bool:
        """Wait until INBOX changes. Returns False after `seconds`, or when the server's regular keep-alive lines stop.

        Raises NetworkError when the connection has ended, and a MailError for a BYE by its text. So too when the
        server ended the IDLE by itself, as some do after a while or in trouble: it reports nothing from then on.
        """
        if self._tag is None:
            await self._begin()
        end = time.monotonic() + seconds
        while True:
            while b"\n" in self._bytes:
                self._next_line()
            if self._changed:
                self._changed = False
                return True
            silent_until = self._heard_at + RHYTHM_MISSED * max(self._rhythm, SHORTEST_RHYTHM)
            left = min(end, silent_until if self._rhythm else end) - time.monotonic()
            if left <= 0:
                return False
            await self._receive(left)

    async def renew(self) -> None:
        """End the IDLE and begin a new one: servers end it after 30 minutes (RFC 2177), and a dead peer shows itself.

        A change in between is reported by the next wait(). Raises NetworkError when no answer comes in time.
        """
        await self._end()
        await self._begin()

    async def statuses(self, folders: Sequence[str]) -> dict[str, FolderNumbers | None]:
        """STATUS (RFC 3501, 6.3.10) of folders other than INBOX, between two IDLEs.

        The value is None for a folder that the server refuses, or whose answer lacks a number needed to see new mail.
        A change in INBOX meanwhile is reported by the next wait(). Raises the errors of renew().
        """
        await self._end()
        found = {folder: await self._status(folder) for folder in folders}
        await self._begin()
        return found

    async def _status(self, folder: str) -> FolderNumbers | None:
        name = _octets(self._client._normalise_folder(folder))
        tag = self._next_tag()
        await self._send(b"%s STATUS %s (%s)\r\n" % (tag, name, self._items.encode()))
        told, is_cut, end = b"", False, time.monotonic() + self._timeout
        while not (line := await self._line(end)).startswith(tag + b" "):
            if is_cut or line.upper().startswith(b"* STATUS "):  # other lines report changes in INBOX
                told, is_cut = line, line.endswith(b"}")  # the name is a literal: the numbers are on the next line
        if line[len(tag) :].split()[:1] != [b"OK"]:
            return None
        numbers = {key.upper(): int(value) for key, value in _NUMBER.findall(told)}
        found = FolderNumbers(*(numbers.get(name) for name in _NAMES))
        return None if None in (found.uidvalidity, found.uidnext, found.exists) else found

    async def _end(self) -> None:
        tag, self._tag = self._tag, None
        if tag is not None:
            await self._send(b"DONE\r\n")
            end = time.monotonic() + self._timeout
            while not (await self._line(end)).startswith(tag + b" "):
                pass

    def _next_tag(self) -> bytes:
        self._commands += 1
        return b"I%d" % self._commands

    def close(self) -> None:
        """Close the socket without LOGOUT; may be called more than once."""
        with contextlib.suppress(OSError):
            self._socket.close()

    async def _begin(self) -> None:
        tag = self._next_tag()
        await self._send(tag + b" IDLE\r\n")
        end = time.monotonic() + self._timeout
        while not (line := await self._line(end)).startswith(b"+"):
            if line.startswith(tag + b" "):
                raise refused(text(line.partition(b" ")[2]), signing_in=False)
        self._tag, self._brought = tag, 0

    async def _line(self, end: float) -> bytes:
        """The next line. Raises NetworkError at time `end`, which other lines from the server do not extend."""
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise unreachable(TimeoutError("no answer to IDLE"), self._endpoint, connecting=False)
            if b"\n" in self._bytes:
                break
            await self._receive(left)
        return self._next_line()

    def _next_line(self) -> bytes:
        """Take a line that has arrived, and note whether it reports a change or is a keep-alive. Raises on BYE."""
        end = self._bytes.index(b"\n")
        line = bytes(self._bytes[:end])
        del self._bytes[: end + 1]
        self._changed = self._changed or bool(_NEWS.match(line))
        if goodbye := _GOODBYE.match(line):
            raise self._ended(text(goodbye[1]).strip())
        if self._tag is not None and line.startswith(self._tag + b" "):
            raise self._ended(text(line.partition(b" ")[2]).strip(), what="IDLE")
        now = time.monotonic()
        if line[:4].upper() == b"* OK":
            self._rhythm = max(self._rhythm, now - self._heard_at)
        self._heard_at = now
        return line.rstrip(b"\r")

    async def _receive(self, seconds: float) -> None:
        """Read bytes that have arrived, or wait for some. A readable socket may hold no IMAP data, as TLS 1.3 sends
        session tickets."""
        try:
            if not self._socket.pending() and not await self._ready(seconds):
                return
            arrived = self._socket.recv(16 * 1024)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return
        except (OSError, ValueError) as error:
            raise unreachable(error, self._endpoint, connecting=False) from None
        if not arrived:
            raise self._ended("the end of the connection")
        self._bytes += arrived
        self._brought += len(arrived)
        if len(self._bytes) > _MOST_WAITING and b"\n" not in self._bytes:
            raise NetworkError(f"{self._endpoint.host} sends a line without end.")
        if self._brought > _MOST_OF_AN_IDLE:
            raise NetworkError(f"{self._endpoint.host} sends without end.")

    async def _send(self, command: bytes) -> None:
        """Send the whole command. It fits into the kernel's buffer, unless the server has stopped reading."""
        end = time.monotonic() + self._timeout
        try:
            while command:
                try:
                    command = command[self._socket.send(command) :]
                except (ssl.SSLWantWriteError, BlockingIOError):
                    if not await self._ready(end - time.monotonic(), to_write=True):
                        raise TimeoutError("The server takes nothing.") from None
        except (OSError, ValueError) as error:
            raise unreachable(error, self._endpoint, connecting=False) from None

    async def _ready(self, seconds: float, *, to_write: bool = False) -> bool:
        """Wait until the socket is readable (to_write: writable). Returns False after `seconds`."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        watch, leave = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
        watch(self._socket, _settle, ready)
        try:
            async with asyncio.timeout(seconds):
                await ready
        except TimeoutError:
            return False
        finally:
            leave(self._socket)
        return True

    def _ended(self, words: str, what: str = "the connection") -> MailError:
        meaning = refused(server_words(Exception(words), self._endpoint), signing_in=False)
        if type(meaning) is not ProviderError:
            return meaning
        where = f"{self._endpoint.host}:{self._endpoint.port}"
        return NetworkError(f"{where} ended {what}: {words}", reply=words)

    def _left_over(self) -> bytes:
        """Bytes behind the last answer that are still in imaplib's buffer. Also makes the socket non-blocking."""
        self._beneath.wire.begin(None)
        self._socket.settimeout(0)
        try:
            return bytes(self._beneath.file.peek())
        except (OSError, ValueError):  # the buffer is empty; the first wait() notices a closed connection
            return b""


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _octets(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode()


def _keep_alive(connected: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
