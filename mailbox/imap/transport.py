"""What an IMAP server sends, with an end to everything: to silence, to a trickle, to a flood.

A socket's own time-out ends silence only: a server that sends a byte a minute would hold a worker for ever, one that
announces a literal of a terabyte, or never stops, would fill the memory.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from imapclient import IMAPClient
from imapclient.tls import IMAP4_TLS

from mailbox import public_hosts
from mailbox.imap import response_lines

SLOWEST_BYTES_PER_SECOND = 50_000  # what arrives earns more time, at this rate
PATIENCE = 2  # time-outs that one command may take before anything has arrived
SLACK_BYTES = 32 * 1024 * 1024  # beyond what was asked for: wrong sizes, large folders' UIDs, unasked answers
BUFFER_BYTES = 64 * 1024
BLANK_LINES = (b"\r\n", b"\n")
MOST_ALERTS = 10  # kept of one connection
CONNECT_SECONDS = 60.0  # where nobody says another time
OF_A_FOLDER = ("EXISTS", "EXPUNGE", "FETCH", "FLAGS", "RECENT", "VANISHED")


class ReplyTooLong(OSError):
    """More came, or was announced, than any honest answer to the command has."""


class SocketReader(io.RawIOBase):
    """The reading end of a connection, for io.BufferedReader. A limit that is passed ends the connection."""

    def __init__(self, socket: Any, timeout: float | None) -> None:
        super().__init__()
        self._socket = socket
        self.begin(timeout)

    def begin(self, timeout: float | None, expected_bytes: int = 0) -> None:
        """A command is about to be sent. `timeout`: seconds of silence; None for no end of time."""
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + PATIENCE * timeout
        self._bytes_left = SLACK_BYTES + 2 * expected_bytes

    def readable(self) -> bool:
        return True

    def expect(self, size: int) -> None:
        """A literal of this size is announced; raises ReplyTooLong before a byte of it takes room."""
        if size > self._bytes_left:
            raise ReplyTooLong(f"The server announces {size} bytes where at most {self._bytes_left} are awaited.")

    def readinto(self, buffer: Any) -> int:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("The server sends too slowly.")
            self._socket.settimeout(min(left, self._timeout or left))
        count = int(self._socket.recv_into(buffer))
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise ReplyTooLong("The server sends without end.")
        if self._deadline is not None:
            self._deadline += count / SLOWEST_BYTES_PER_SECOND
        return count


class _Beneath(IMAP4_TLS):  # type: ignore[misc]  # imapclient has no types
    """imaplib's object, reading from a SocketReader. Each command begins a new allowance of time and bytes."""

    public_only = False
    read_timeout: float | None = None
    expected_bytes = 0
    _is_corked, _corked = False, b""
    _is_behind_literal = _is_fetch = False
    # imaplib makes up a prefix for each connection and compiles an expression of it; with one for all it is compiled
    # once.
    tagpre = property(lambda self: b"PRX", lambda self, made_up: None)

    def _get_capabilities(self) -> None:
        """The server's list before sign-in, of which most say all in their greeting (RFC 3501, 7.1)."""
        lines = self.untagged_responses.pop("CAPABILITY", [b""])
        self.capabilities = tuple(lines[-1].decode("ascii", "replace").upper().split())
        if "IMAP4REV1" not in self.capabilities:
            super()._get_capabilities()
        if "IMAP4REV2" in self.capabilities and "IMAP4REV1" not in self.capabilities:
            self.capabilities += ("IMAP4REV1",)  # imaplib knows no other; the commands that we say are in both

    def _create_socket(self, timeout: float | None = None) -> ssl.SSLSocket:
        seconds = timeout or self._timeout or CONNECT_SECONDS
        plain = public_hosts.connect(self.host, self.port, seconds, public_only=self.public_only)
        try:
            return self.ssl_context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[no-any-return]
        except BaseException:
            plain.close()
            raise

    def open(self, host: str = "", port: int = 993, timeout: float | None = None) -> None:
        self.host, self.port = host, port
        self.alerts: list[str] = []
        self.sock = self._create_socket(timeout)
        # A command that follows another unanswered one would wait until the server has acknowledged that (Nagle), which
        # a server that is about to answer puts off for 40 ms.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wire = SocketReader(self.sock, self._timeout)
        self.file = io.BufferedReader(self.wire, BUFFER_BYTES)

    def send(self, data: bytes) -> None:
        self.wire.begin(self.read_timeout or self._timeout, self.expected_bytes)
        self.sock.settimeout(self.read_timeout or self._timeout)
        self._corked += data
        if not self._is_corked:
            together, self._corked = self._corked, b""
            super().send(together)

    @contextmanager
    def corked(self) -> Iterator[None]:
        """What is said within goes out with the next command, in one write and one packet: the server is woken once."""
        self._is_corked = True
        try:
            yield
        finally:
            self._is_corked = False

    def _append_untagged(self, kind: str, words: bytes) -> None:
        if kind == "CLOSED":  # what came before is news of the folder that was open (RFC 7162, 3.2.11)
            for each in OF_A_FOLDER:
                self.untagged_responses.pop(each, None)
        super()._append_untagged(kind, words)

    def read(self, size: int) -> bytes:
        self.wire.expect(size)
        self._is_behind_literal = True
        return self.file.read(size)

    def readline(self) -> bytes:
        """A line as imaplib understands it; raises OSError at the end of the SocketReader.

        imaplib's own limit of 1 MB is less than a large folder's SEARCH.
        """
        line = self.file.readline()
        if self._is_behind_literal:
            self._is_behind_literal = False
            while self._is_fetch and line in BLANK_LINES:  # a FETCH answer ends with its parenthesis
                line = self.file.readline()
            line = response_lines.ended(line)
            return response_lines.with_plain_literal(line) if self._is_fetch else line
        while line in BLANK_LINES:
            line = self.file.readline()
        line = response_lines.as_meant(line)
        self._is_fetch = response_lines.is_fetch(line)
        line = response_lines.with_plain_literal(line) if self._is_fetch else line
        if (alert := response_lines.alert_in(line)) and alert not in self.alerts and len(self.alerts) < MOST_ALERTS:
            self.alerts.append(alert)
        return line


class _BeneathPublic(_Beneath):
    """imaplib connects in its constructor, so that the class says what an attribute would say too late."""

    public_only = True


class ImapClient(IMAPClient):  # type: ignore[misc]
    """imapclient's, on a SocketReader. `written_names`: folder -> the bytes that its server
    writes for it, if not as usual."""

    def __init__(self, *arguments: Any, public_only: bool = False, **named: Any) -> None:
        self.written_names: dict[str, bytes] = {}
        self._public_only = public_only  # before the connection, which the constructor makes
        super().__init__(*arguments, **named)

    def _normalise_folder(self, folder_name: str | bytes) -> bytes | str:
        written = self.written_names.get(folder_name) if isinstance(folder_name, str) else None
        if written is not None and self.folder_encode:
            return b'"' + written.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        quoted: bytes | str = super()._normalise_folder(folder_name)
        return quoted

    def _normalise_capabilites(self, raw_response: bytes | str | None) -> tuple[bytes, ...]:
        """Also of a server that says OK to CAPABILITY and nothing else."""
        found: tuple[bytes, ...] = super()._normalise_capabilites(raw_response or b"")
        return found

    def _create_IMAP4(self) -> _Beneath:
        kind = _BeneathPublic if self._public_only else _Beneath
        return kind(self.host, self.port, self.ssl_context, self._timeout.connect)

    def _set_read_timeout(self) -> None:
        self._imap.read_timeout = self._timeout.read
        super()._set_read_timeout()
