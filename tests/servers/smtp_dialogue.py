"""One connection to the scripted SMTP server."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING

from tests.servers.smtp_faults import Drop, Fault, Hold, Raw, Reply, Silence, Surplus

if TYPE_CHECKING:
    from tests.servers.smtp import SmtpServer

SASL = ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER")
VERBS = ("EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT")


class Left(OSError):
    """The conversation is over."""


class Received(io.RawIOBase):
    """What the client says, to read line by line."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader hands in
        received = self._dialogue.receive(len(buffer))
        buffer[: len(received)] = received
        return len(received)


class Dialogue:
    def __init__(self, server: SmtpServer, connection: socket.socket) -> None:
        self.server = server
        # Each answer leaves at once, also behind another one (Nagle's algorithm would keep it for the client's word).
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket: socket.socket = connection
        # Held while the socket is read or written: Python 3.11 does not keep two threads out of one TLS object.
        self._in_use = threading.Lock()
        self.encrypted = False
        self.is_silent = False  # for good
        self.user = ""
        self._new_mail()

    def _new_mail(self) -> None:
        self.mail_from: str | None = None
        self.rcpt_tos: list[str] = []

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.close()

    def run(self) -> None:
        if self.server.security == "tls":
            self._encrypt()
        self.reader = io.BufferedReader(Received(self))
        self._answer("CONNECT", "", "220 localhost ESMTP test server")
        while line := self.reader.readline():
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            self.server.record(text)
            verb = text.split(" ", 1)[0].upper()
            if verb in VERBS:
                getattr(self, verb.lower())(text)
                self.server.answered(verb)
            else:
                self.say("500 5.5.1 What was that?")

    def send(self, octets: bytes) -> None:
        """Any thread may call this, also while the dialogue's own waits for the client."""
        with self._in_use:
            self.socket.sendall(octets)

    def receive(self, most: int) -> bytes:
        """Wait for what comes next, without keeping other threads from the socket; b"" at its end."""
        arrival = select.poll()
        arrival.register(self.socket, select.POLLIN)
        while True:
            with self._in_use:
                self.socket.setblocking(False)
                try:
                    return self.socket.recv(most)
                except (BlockingIOError, ssl.SSLWantReadError):
                    pass
                finally:
                    self.socket.setblocking(True)
            arrival.poll()

    def say(self, text: str) -> None:
        lines = text.split("\n")
        for line in lines[:-1]:  # "250-more" unless the script has written the code already
            ready = line if re.match(r"\d{3}-", line) else f"{lines[-1][:3]}-{line}"
            self.send(ready.encode() + b"\r\n")
        self.send(lines[-1].encode() + b"\r\n")

    def _answer(self, command: str, line: str, usual: str) -> bool:
        """Give the usual answer, or the scripted fault. True when the answer was the usual one."""
        fault = self.server.fault(command, line)
        if isinstance(fault, Hold):
            fault.reached.set()
            fault.released.wait(600)
            fault = None
        if isinstance(fault, Surplus):
            self.send(usual.encode() + b"\r\n" + fault.content)
            return True
        if fault is None:
            self.say(usual)
            return True
        self._commit_fault(fault)
        return False

    def _commit_fault(self, fault: Fault) -> None:
        if isinstance(fault, Reply):
            self.say(fault.text)
            return
        if isinstance(fault, Raw):
            self.send(fault.content)
        if isinstance(fault, Silence) or (isinstance(fault, Raw) and not fault.then_drop):
            self.is_silent = True
            while self.reader.readline():
                pass
        raise Left

    def _encrypt(self) -> None:
        assert self.server.certificates is not None
        self.socket = self.server.certificates.server_context().wrap_socket(self.socket, server_side=True)
        self.encrypted = True

    def ehlo(self, line: str) -> None:
        self._new_mail()
        words = ["localhost", "8BITMIME", "ENHANCEDSTATUSCODES", f"SIZE {self.server.max_size}"]
        if self.server.pipelining:
            words.append("PIPELINING")
        if self.server.dsn:
            words.append("DSN")
        if self.server.smtputf8:
            words.append("SMTPUTF8")
        if self.server.security == "starttls" and not self.encrypted:
            words.append("STARTTLS")
        if self.server.require_auth and (self.encrypted or self.server.security == "none"):
            words.append("AUTH " + " ".join(self.server.mechanisms))
        self._answer("EHLO", line, "\n".join(words[:-1]) + f"\n250 {words[-1]}")

    def helo(self, line: str) -> None:
        self._answer("HELO", line, "250 localhost")

    def starttls(self, line: str) -> None:
        if self.server.security != "starttls":
            self.say("502 5.5.1 No STARTTLS here")
        elif self._answer("STARTTLS", line, "220 2.0.0 Go ahead"):
            self._encrypt()
            self.reader = io.BufferedReader(Received(self))

    def auth(self, line: str) -> None:
        words = line.split(" ")
        mechanism = words[1].upper() if len(words) > 1 else ""
        if mechanism not in self.server.mechanisms or mechanism not in SASL:
            self.say("504 5.5.4 No such mechanism")
            return
        given = words[2] if len(words) > 2 else None
        user, right = getattr(self, f"_{mechanism.lower()}")(given)
        if not right:
            self._answer("AUTH", line, "535 5.7.8 Username and password not accepted")
        elif self._answer("AUTH", line, "235 2.7.0 Accepted"):
            self.user = user

    def _ask(self, challenge: str) -> str:
        self.say(f"334 {base64.b64encode(challenge.encode()).decode()}".rstrip())
        line = self.reader.readline()
        if not line:
            raise Left
        self.server.record("AUTH+ " + line.decode("ascii", "replace").strip())
        return line.decode("ascii", "replace").strip()

    def _plain(self, given: str | None) -> tuple[str, bool]:
        _identity, user, password = _decoded(given or self._ask("")).split("\0")
        return user, password == self.server.password

    def _login(self, given: str | None) -> tuple[str, bool]:
        user = _decoded(given or self._ask("Username:"))
        if fault := self.server.fault("AUTH NAME", user):
            self._commit_fault(fault)
            raise Left
        return user, _decoded(self._ask("Password:")) == self.server.password

    def _xoauth2(self, given: str | None) -> tuple[str, bool]:
        found = re.fullmatch(r"user=([^\x01]+)\x01auth=Bearer ([^\x01]+)\x01\x01", _decoded(given or self._ask("")))
        if found and found[2] in self.server.tokens:
            return found[1], True
        # As Google does: the reason in a challenge, which the client answers with an empty line before the 535.
        self._ask(json.dumps({"status": "400", "schemes": "Bearer", "scope": "https://mail.google.com/"}))
        return "", False

    def _oauthbearer(self, given: str | None) -> tuple[str, bool]:
        """RFC 7628: the reason in a challenge, which the client answers with a control-A before the 535."""
        form = r"n,a=([^,]+),\x01host=[^\x01]+\x01port=\d+\x01auth=Bearer ([^\x01]+)\x01\x01"
        found = re.fullmatch(form, _decoded(given or self._ask("")))
        if found and found[2] in self.server.tokens:
            return found[1].replace("=2C", ",").replace("=3D", "="), True
        assert _decoded(self._ask(json.dumps({"status": "invalid_token"}))) == "\x01"
        return "", False

    def mail(self, line: str) -> None:
        if self.server.require_auth and not self.user:
            self.say("530 5.7.0 Authentication required")
        elif self.mail_from is not None:
            self.say("503 5.5.1 Nested MAIL")
        elif self._answer("MAIL", line, "250 2.1.0 Sender ok"):
            self.mail_from, self.rcpt_tos = _address(line), []

    def rcpt(self, line: str) -> None:
        if self.mail_from is None:
            self.say("503 5.5.1 Need MAIL first")
        elif self._answer("RCPT", line, "250 2.1.5 Recipient ok"):
            self.rcpt_tos.append(_address(line))

    def data(self, line: str) -> None:
        if not self.rcpt_tos and self.server.data_without_recipients:  # RFC 2920 3.1 allows it
            self.say("354 End data with <CR><LF>.<CR><LF>")
            assert self._read_content() == b""
            self.say("554 5.5.1 No valid recipients")
            self._new_mail()
        elif not self.rcpt_tos:
            self.say("503 5.5.1 Need RCPT first")
        elif self._answer("DATA", line, "354 End data with <CR><LF>.<CR><LF>"):
            self._final_dot(self._read_content())

    def _final_dot(self, raw: bytes) -> None:
        from tests.servers.smtp import SinkMail

        mail = SinkMail(self.mail_from or "", self.rcpt_tos, raw, self.user)
        fault = self.server.fault(".", " ".join(self.rcpt_tos))
        if isinstance(fault, Hold):
            fault.reached.set()
            fault.released.wait(600)
            fault = fault.then
        if fault is None or isinstance(fault, Surplus) or (isinstance(fault, Drop | Silence | Raw) and fault.keep_mail):
            self.server.keep(mail)
        self._new_mail()
        if isinstance(fault, Surplus):
            self.send(b"250 2.0.0 Taken\r\n" + fault.content)
        elif fault is None:
            self.say("250 2.0.0 Taken")
        else:
            self._commit_fault(fault)

    def _read_content(self) -> bytes:
        lines = []
        while (line := self.reader.readline()) != b".\r\n":
            if not line:
                raise Left
            lines.append(line[1:] if line.startswith(b".") else line)
        self.server.record(".")
        return b"".join(lines)

    def rset(self, line: str) -> None:
        self._new_mail()
        self._answer("RSET", line, "250 2.0.0 Reset")

    def noop(self, line: str) -> None:
        self._answer("NOOP", line, "250 2.0.0 Ok")

    def quit(self, line: str) -> None:
        self._answer("QUIT", line, "221 2.0.0 Bye")
        with contextlib.suppress(OSError, ssl.SSLError):
            self.socket.shutdown(socket.SHUT_RDWR)
        raise Left


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "replace")


def _address(line: str) -> str:
    found = re.search(r"<([^>]*)>", line)
    return found[1] if found else line.partition(":")[2].strip()
