"""SMTP servers that each fail in a way of their own: what they do at a command is a function of the test's."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.servers.certificates import Certificates

EHLO = ("localhost", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 50000000", "PIPELINING", "AUTH PLAIN LOGIN")
USUAL = {
    "CONNECT": b"220 localhost ESMTP\r\n",
    "STARTTLS": b"220 2.0.0 Go ahead\r\n",
    "AUTH": b"235 2.7.0 Accepted\r\n",
    "MAIL": b"250 2.1.0 Ok\r\n",
    "RCPT": b"250 2.1.5 Ok\r\n",
    "DATA": b"354 Go ahead\r\n",
    ".": b"250 2.0.0 Taken\r\n",
    "RSET": b"250 2.0.0 Ok\r\n",
    "QUIT": b"221 2.0.0 Bye\r\n",
}


class Gone(Exception):
    """This connection is over."""


@dataclass
class OddServer:
    """A whole server but for `does`: command -> a function of the talk, called instead of the usual answer.

    The commands are those of USUAL, EHLO, and BODY (after 354, before the content is read). What a function returns is
    said; None: nothing. `taken`: Message-ID -> how often that mail was taken.
    """

    certificates: Certificates
    does: Mapping[str, Callable[[Talk], bytes | None]] = field(default_factory=dict)
    security: str = "tls"
    extensions: tuple[str, ...] = EHLO

    def __post_init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.taken_at: list[float] = []
        self.sessions = 0
        self.open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._context = self.certificates.server_context()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.ca_pem = self.certificates.ca_pem
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for each in self.open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(each, socket.SHUT_RDWR)

    def take(self, content: bytes) -> None:
        with self._lock:
            self.taken[content.split(b"\r\n", 1)[0].decode().removeprefix("Message-ID: ")] += 1
            self.taken_at.append(time.monotonic())

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.sessions += 1
                self.open.add(connection)
                number = self.sessions
            threading.Thread(target=self._converse, args=(connection, number), daemon=True).start()

    def _converse(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = Talk(self, connection, number)
        try:
            talk.run()
        except (OSError, Gone):
            pass
        finally:
            talk.socket.close()
            with self._lock:
                self.open.discard(connection)


class Talk:
    """One connection. `number`: of the session, from 1. `line`: the command. `mails`: that it has answered."""

    def __init__(self, server: OddServer, connection: socket.socket, number: int) -> None:
        self.server, self.socket, self.number = server, connection, number
        self.line = b""
        self.content = b""
        self.mails = 0
        self.unread = b""
        self.is_encrypted = False

    # --- What the functions of a test use -----------------------------------------------------------------------
    def say(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def drip(self, octets: bytes, seconds: float) -> None:
        """One octet at a time."""
        for octet in octets:
            self.say(bytes([octet]))
            time.sleep(seconds)

    def close(self) -> bytes:
        raise Gone

    def reset(self) -> bytes:
        """RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def hang(self) -> bytes:
        """Say nothing until the client leaves."""
        while self.socket.recv(65536):
            pass
        raise Gone

    def take(self) -> None:
        self.server.take(self.content)

    def forget_what_was_sent_ahead(self) -> None:
        """As a server that does not understand PIPELINING."""
        self.unread = b""

    # --- The usual ----------------------------------------------------------------------------------------------
    def run(self) -> None:
        if self.server.security == "tls":
            if "TLS" in self.server.does:
                self.server.does["TLS"](self)
            self._encrypt()
        self._do("CONNECT")
        while line := self._next_line():
            self.line = line
            verb = line.split(b" ", 1)[0].strip().upper().decode("ascii", "replace")
            if verb == "EHLO":
                self._do("EHLO", self._ehlo())
            elif verb == "DATA":
                if self._do("DATA"):
                    self._take_content()
            elif verb in USUAL:
                self._do(verb)
                if verb == "STARTTLS":
                    self._encrypt()
                if verb == "QUIT":
                    return
            else:
                self.say(b"500 5.5.1 What was that?\r\n")

    def _ehlo(self) -> bytes:
        words = [*self.server.extensions]
        if self.server.security == "starttls" and not self.is_encrypted:
            words.insert(1, "STARTTLS")
        lines = [f"250-{word}" for word in words]
        lines[-1] = lines[-1].replace("-", " ", 1)
        return "".join(f"{line}\r\n" for line in lines).encode()

    def _do(self, command: str, usual: bytes = b"") -> bool:
        """Whether the answer was the usual one."""
        usual = usual or USUAL[command]
        does = self.server.does.get(command)
        said = does(self) if does else usual
        if said:
            self.say(said)
        return said == usual or bool(said and command == "DATA" and said.startswith(b"354"))

    def _take_content(self) -> None:
        if (does := self.server.does.get("BODY")) and (said := does(self)):
            self.say(said)
        lines = []
        while (line := self._next_line()) != b".\r\n":
            if not line:
                raise Gone
            lines.append(line[1:] if line.startswith(b".") else line)
        self.content = b"".join(lines)
        self.mails += 1
        if "." not in self.server.does:
            self.take()
        self._do(".")

    def _next_line(self) -> bytes:
        while b"\n" not in self.unread:
            received = self.socket.recv(65536)
            if not received:
                return b""
            self.unread += received
        line, _, self.unread = self.unread.partition(b"\n")
        return line + b"\n"

    def _encrypt(self) -> None:
        self.socket = self.server._context.wrap_socket(self.socket, server_side=True)
        self.is_encrypted, self.unread = True, b""
