"""imapclient and imaplib on a reader that limits a response's silence, duration and size.

A socket's time-out limits silence only. A server that sends one byte a minute would occupy a worker for ever; one that
announces a literal of a terabyte, or never stops sending, would exhaust the memory.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError
from imapclient.tls import IMAP4_TLS

from mailbox import public_hosts
from mailbox.imap import response_lines

SLOWEST_BYTES_PER_SECOND = 50_000  # the deadline is extended by the bytes that arrive, at this rate
PATIENCE = 2  # a command's initial deadline, as a multiple of the time-out
SLACK_BYTES = 32 * 1024 * 1024  # beyond the expected bytes: wrong sizes, UIDs of large folders, unsolicited responses
BUFFER_BYTES = 64 * 1024
BLANK_LINES = (b"\r\n", b"\n")
EMPTY_LINES = (*BLANK_LINES, b"*\r\n", b"* \r\n", b"*\n")  # responses that say nothing
_ENDS_A_COMMAND = re.compile(rb"[\r\n\0]")
MOST_ALERTS = 10  # kept for one connection
CONNECT_SECONDS = 60.0  # without a time-out from the caller
OF_A_FOLDER = ("EXISTS", "EXPUNGE", "FETCH", "FLAGS", "RECENT", "VANISHED")  # responses about the open folder


class ReplyTooLong(OSError):
    """The server sent or announced more bytes than a correct answer to the command can have."""


class SocketReader(io.RawIOBase):
    """Raw reader of a connection, for io.BufferedReader. Raises OSError when a limit is exceeded, which ends the
    connection."""

    def __init__(self, socket: Any, timeout: float | None) -> None:
        super().__init__()
        self._socket = socket
        self.begin(timeout)

    def begin(self, timeout: float | None, expected_bytes: int = 0) -> None:
        """Reset the limits before a command is sent.

        timeout: seconds of silence; None: no limit of time. expected_bytes: size of the literals asked for.
        """
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + PATIENCE * timeout
        self._bytes_left = SLACK_BYTES + 2 * expected_bytes

    def readable(self) -> bool:
        return True

    def expect(self, size: int) -> None:
        """Check the announced size of a literal. Raises ReplyTooLong before memory is allocated for it."""
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
    """imapclient's imaplib object, on a SocketReader. Each command resets the limits of time and bytes."""

    public_only = False
    read_timeout: float | None = None
    expected_bytes = 0
    _is_corked, _corked = False, b""
    _is_behind_literal = _is_fetch = False
    # imaplib chooses a tag prefix for each connection and compiles a pattern with it. With one prefix for all, re's
    # cache has the pattern.
    tagpre = property(lambda self: b"PRX", lambda self, made_up: None)

    def _get_capabilities(self) -> None:
        """The capabilities before sign-in, from the greeting if it states them (RFC 3501, 7.1), else by a command."""
        lines = self.untagged_responses.pop("CAPABILITY", [b""])
        self.capabilities = tuple(lines[-1].decode("ascii", "replace").upper().split())
        if "IMAP4REV1" not in self.capabilities:
            _, lines = self.capability()  # some servers state them in several lines
            self.capabilities = tuple(b" ".join(filter(None, lines)).decode("ascii", "replace").upper().split())
            if not self.capabilities:
                raise self.error("no CAPABILITY response from server")
        if "IMAP4REV2" in self.capabilities and "IMAP4REV1" not in self.capabilities:
            self.capabilities += ("IMAP4REV1",)  # imaplib requires it; all commands used here exist in both versions

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
        # Nagle's algorithm would hold back a second command until the server acknowledges the first, and a server that
        # is about to answer delays its ACK by 40 ms.
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
        """Hold back commands given inside the block and send them in one write, thus one packet, with the next command.

        It saves a round trip, and the server wakes up once.
        """
        self._is_corked = True
        try:
            yield
        finally:
            self._is_corked = False

    def _append_untagged(self, kind: str, words: bytes) -> None:
        if kind == "CLOSED":  # responses before it concern the folder that was open until now (RFC 7162, 3.2.11)
            for each in OF_A_FOLDER:
                self.untagged_responses.pop(each, None)
        super()._append_untagged(kind, words)

    def read(self, size: int) -> bytes:
        self.wire.expect(size)
        self._is_behind_literal = True
        return self.file.read(size)

    def readline(self) -> bytes:
        """The next line, rewritten as imaplib expects it. Raises OSError when a limit of the SocketReader is exceeded.

        imaplib's own limit of 1 MB is not applied: the SEARCH response of a large folder is longer.
        """
        line = self.file.readline()
        if self._is_behind_literal:
            self._is_behind_literal = False
            while self._is_fetch and line in BLANK_LINES:  # a FETCH response goes on until its closing parenthesis
                line = self.file.readline()
            line = response_lines.ended(line)
            return response_lines.with_plain_literal(line) if self._is_fetch else line
        while line in EMPTY_LINES:
            line = self.file.readline()
        line = response_lines.as_meant(line)
        self._is_fetch = response_lines.is_fetch(line)
        if self._is_fetch or response_lines.names_folder(line):
            line = response_lines.with_plain_literal(line)
        if (alert := response_lines.alert_in(line)) and alert not in self.alerts and len(self.alerts) < MOST_ALERTS:
            self.alerts.append(alert)
        return line


class _BeneathPublic(_Beneath):
    """Connects to public addresses only. A class of its own, as imaplib connects in its constructor, before an
    attribute could be set."""

    public_only = True


class ImapClient(IMAPClient):  # type: ignore[misc]
    """imapclient's client, on a SocketReader.

    written_names: folder -> the server's bytes for its name, for names that are not written in modified UTF-7. A name
    with a line break, which a literal may bring, is refused: what stands behind it would be a command of its own, and
    whoever shares a folder with the account chooses its name.
    """

    def __init__(self, *arguments: Any, public_only: bool = False, **named: Any) -> None:
        self.written_names: dict[str, bytes] = {}
        self._public_only = public_only  # set first, as the constructor connects
        super().__init__(*arguments, **named)

    def _normalise_folder(self, folder_name: str | bytes) -> bytes | str:
        written = self.written_names.get(folder_name) if isinstance(folder_name, str) else None
        quoted: bytes | str = super()._normalise_folder(folder_name)
        if written is not None and self.folder_encode:
            quoted = b'"' + written.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        if _ENDS_A_COMMAND.search(quoted if isinstance(quoted, bytes) else quoted.encode("utf-8", "replace")):
            raise IMAPClientError("The folder's name has a line break in it")
        return quoted

    def _normalise_capabilites(self, raw_response: bytes | str | None) -> tuple[bytes, ...]:
        """Takes None, too: some servers answer CAPABILITY with OK alone."""
        found: tuple[bytes, ...] = super()._normalise_capabilites(raw_response or b"")
        return found

    def _create_IMAP4(self) -> _Beneath:
        kind = _BeneathPublic if self._public_only else _Beneath
        return kind(self.host, self.port, self.ssl_context, self._timeout.connect)

    def _set_read_timeout(self) -> None:
        self._imap.read_timeout = self._timeout.read
        super()._set_read_timeout()
