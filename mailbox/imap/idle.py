"""IMAP IDLE (RFC 2177) on the INBOX: a connection that says at once when something changes, and STATUS of others.

The waiting is ours, not imapclient's: its idle_check answers nothing on end of file, so a dead connection looks like
a quiet one. It is asyncio's, so that a thousand connections wait without a thread each; signing in is imapclient's
and blocks. Nothing is read of what changed: a sync finds that out.
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
_MOST_WAITING = 64 * 1024  # bytes without a line's end
# A peer whose machine is gone never says so: the kernel asks after a minute of silence, and gives up a minute later.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 120_000}
RHYTHM_MISSED = 2.5  # Dovecot says "Still here" each two minutes; after so many of these without it, it is asked
SHORTEST_RHYTHM = 30.0
_NAMES = (b"UIDVALIDITY", b"UIDNEXT", b"MESSAGES", b"HIGHESTMODSEQ")  # in the order of FolderNumbers
_NUMBER = re.compile(rb"(" + b"|".join(_NAMES) + rb") (\d+)", re.I)


@dataclass(frozen=True)
class FolderNumbers:
    """By which it is seen that something changed in a folder. None: not known, or the server does not say."""

    uidvalidity: int | None = None
    uidnext: int | None = None
    exists: int | None = None
    highestmodseq: int | None = None  # RFC 7162: changes with a flag, too

    def is_news_to(self, known: FolderNumbers) -> bool:
        """Whether a folder of which this was `known` needs a sync. In doubt it does."""
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
    """The server has no IDLE: the account is polled, as ever."""


class IdleSession:
    """A signed-in connection with INBOX open read-only. `open` blocks; the rest belongs to one event loop."""

    def __init__(self, session: ImapSession, endpoint: Endpoint, status: FolderStatus, command_timeout: float) -> None:
        self._beneath: Any = session._client._imap
        self._socket: Any = self._beneath.sock
        self._client, self._endpoint, self._timeout = session._client, endpoint, command_timeout
        self._items = "UIDVALIDITY UIDNEXT MESSAGES"
        self.inbox = FolderNumbers(status.uidvalidity, status.uidnext, status.exists, status.highestmodseq)
        self._bytes = self._left_over()
        self._beneath.file = None  # its buffer of 64 kB is not read any more
        self._tag: bytes | None = None  # of the IDLE under way
        self._commands = 0
        self._changed = False
        self._heard_at, self._rhythm = time.monotonic(), 0.0

    @classmethod
    def open(cls, endpoint: Endpoint, *, connect_timeout: float, command_timeout: float) -> IdleSession:
        """Sign in and open INBOX; raises what ImapSession.open does, ProviderError, and IdleNotOffered."""
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
        """True as soon as something changed in INBOX, False when `seconds` went by or the server fell silent.

        Raises NetworkError when the connection has ended, and what a server's BYE means.
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
        """End the IDLE and begin another: servers end one after 29 minutes, and a dead peer does not answer.

        What changed in between is told by the next wait(). Raises NetworkError when no answer comes in time.
        """
        await self._end()
        await self._begin()

    async def statuses(self, folders: Sequence[str]) -> dict[str, FolderNumbers | None]:
        """STATUS (RFC 3501, 6.3.10) of folders besides INBOX, between two IDLEs; None of one that the server refuses,
        or of which it tells too little to see new mail.

        What changes in INBOX meanwhile is told by the next wait(). Raises as renew() does.
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
            if is_cut or line.upper().startswith(b"* STATUS "):  # besides news of INBOX
                told, is_cut = line, line.endswith(b"}")  # a name that is a literal: the rest is on the next line
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
        with contextlib.suppress(OSError):
            self._socket.close()

    async def _begin(self) -> None:
        tag = self._next_tag()
        await self._send(tag + b" IDLE\r\n")
        end = time.monotonic() + self._timeout
        while not (line := await self._line(end)).startswith(b"+"):
            if line.startswith(tag + b" "):
                raise refused(text(line.partition(b" ")[2]), signing_in=False)
        self._tag = tag

    async def _line(self, end: float) -> bytes:
        """The next line, within the command's time, which chatter does not prolong; raises NetworkError."""
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise unreachable(TimeoutError("no answer to IDLE"), self._endpoint, connecting=False)
            if b"\n" in self._bytes:
                break
            await self._receive(left)
        return self._next_line()

    def _next_line(self) -> bytes:
        """One that has arrived, with what it says of the mailbox and of the connection noted; raises on BYE."""
        line, _, self._bytes = self._bytes.partition(b"\n")
        self._changed = self._changed or bool(_NEWS.match(line))
        if goodbye := _GOODBYE.match(line):
            raise self._ended(text(goodbye[1]).strip())
        now = time.monotonic()
        if line[:4].upper() == b"* OK":
            self._rhythm = max(self._rhythm, now - self._heard_at)
        self._heard_at = now
        return line.rstrip(b"\r")

    async def _receive(self, seconds: float) -> None:
        """Take what has arrived, or wait for it. A readable socket may hold no byte of IMAP: TLS 1.3 sends tickets."""
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
        if len(self._bytes) > _MOST_WAITING and b"\n" not in self._bytes:
            raise NetworkError(f"{self._endpoint.host} sends a line without end.")

    async def _send(self, command: bytes) -> None:
        """The whole of it. It fits the kernel's buffer, unless the server reads nothing."""
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
        """True as soon as the socket can be read (or written), False after so many seconds."""
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

    def _ended(self, words: str) -> MailError:
        meaning = refused(server_words(Exception(words), self._endpoint), signing_in=False)
        if type(meaning) is not ProviderError:
            return meaning
        where = f"{self._endpoint.host}:{self._endpoint.port}"
        return NetworkError(f"{where} ended the connection: {words}", reply=words)

    def _left_over(self) -> bytes:
        """What has arrived behind the last answer, and lies in imaplib's buffer. The socket blocks nobody any more."""
        self._beneath.wire.begin(None)
        self._socket.settimeout(0)
        try:
            return bytes(self._beneath.file.peek())
        except (OSError, ValueError):  # nothing there; an end is met by the first wait
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
