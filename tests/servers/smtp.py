"""An SMTP server of our own: a sink that records what it gets, and a server scripted to fail at an exact command.

It speaks RFC 5321 with STARTTLS (RFC 3207) and AUTH PLAIN, LOGIN and XOAUTH2 as far as the tests need, one thread
a connection. Every line that a client sends is recorded, so that a test may say what was *not* said.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import MAILBOX_PASSWORD
from tests.servers.certificates import Certificates
from tests.servers.smtp_dialogue import Dialogue
from tests.servers.smtp_faults import Fault, Reply, Rule


@dataclass(frozen=True)
class SinkMail:
    """What was taken: envelope and content, dots unstuffed, line ends as they came; `user` who had signed in."""

    mail_from: str
    rcpt_tos: list[str]
    raw: bytes
    user: str = ""

    @property
    def submitted(self) -> bytes:
        """The content as Dovecot was given it: without the Received header that Dovecot put before it."""
        return re.sub(rb"\AReceived:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", b"", self.raw)


@dataclass
class SmtpServer:
    """`security`: "tls" (from the first byte), "starttls" or "none"; the last two listen in clear.

    `on("RCPT", Reply("550 5.1.1 No such user"), containing="bob@")` scripts a fault; commands are CONNECT, EHLO,
    STARTTLS, AUTH, "AUTH name" (the first word of AUTH LOGIN), MAIL, RCPT, DATA, "." (the final dot), RSET, NOOP,
    QUIT. The last rule that applies wins.
    """

    security: str = "none"
    certificates: Certificates | None = None
    require_auth: bool = False
    password: str = MAILBOX_PASSWORD
    tokens: set[str] = field(default_factory=lambda: {"good-token"})
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN", "XOAUTH2")
    max_size: int = 50_000_000
    pipelining: bool = False  # whether it is offered; it is understood in any case
    data_without_recipients: bool = False  # DATA is answered with 354 when every recipient was refused
    smtputf8: bool = False  # whether it is offered
    dsn: bool = False  # whether it is offered
    host: str = "localhost"
    port: int = 0
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    deliver: Callable[[SinkMail], None] | None = None  # called with each mail that is taken, before the 250
    folder: Path | None = None  # each mail that is taken becomes a file here, before the 250

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._mails: list[SinkMail] = []
        self._open: set[Dialogue] = set()
        self._answered: Counter[str] = Counter()
        self._listener: socket.socket | None = None

    @property
    def ca_pem(self) -> str:
        return self.certificates.ca_pem if self.certificates else ""

    def start(self) -> SmtpServer:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept_connections, args=(self._listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and close what is open; the port is kept for another start()."""
        if self._listener is not None:
            # Closing alone does not wake the thread that waits in accept().
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.end_sessions()

    def end_sessions(self) -> None:
        """Close what is open, as a server does that has had enough; our side sees it before this returns."""
        with self._lock:
            still_open = list(self._open)
        for dialogue in still_open:
            with contextlib.suppress(OSError):
                # Past TLS, which another thread is in the middle of: the client sees the connection end.
                socket.socket.shutdown(dialogue.socket, socket.SHUT_RDWR)

    def say_unasked(self, words: bytes) -> None:
        """On each open connection; they are with the client before this returns."""
        with self._lock:
            for dialogue in self._open:
                dialogue.send(words)

    def on(self, command: str, fault: Fault, *, containing: str = "", times: int | None = None) -> None:
        """Answer `command` with a fault when its line contains the text; `times` as often, None for ever."""
        with self._lock:
            self._rules.append(Rule(command.upper(), fault, containing, times))

    def refuse(self, command: str, reply: str, *, containing: str = "", times: int | None = None) -> None:
        self.on(command, Reply(reply), containing=containing, times=times)

    def accept(self) -> None:
        """Mend the server: forget every rule."""
        with self._lock:
            self._rules.clear()

    def clear(self) -> None:
        """Forget rules, mails and records."""
        with self._lock:
            self._rules.clear()
            self._mails.clear()
            self.commands.clear()
            self._answered.clear()
            self.connections = 0
        for path in self.folder.glob("*.eml") if self.folder else ():
            path.unlink()

    def mails(self) -> list[SinkMail]:
        with self._lock:
            return list(self._mails)

    def copies(self) -> Counter[str]:
        """How often each mail was taken, by its Message-ID; from the files where there is a folder for them."""
        taken = [path.read_bytes() for path in self.folder.glob("*.eml")] if self.folder else []
        heads = (raw.split(b"\r\n", 1)[0].decode() for raw in taken or (mail.raw for mail in self.mails()))
        return Counter(head.removeprefix("Message-ID: ") for head in heads)

    def said(self, verb: str) -> list[str]:
        """The recorded lines that begin with this verb; AUTH's further lines are recorded as "AUTH+ ..."."""
        with self._lock:
            return [line for line in self.commands if line.upper().split(" ")[0].split(":")[0] == verb.upper()]

    def has_answered(self, verb: str, count: int) -> bool:
        """Whether it has answered so many such commands, or will not any more; what it said is with the client."""
        with self._lock:
            return self._answered[verb] >= count or all(dialogue.is_silent for dialogue in self._open)

    # --- what a dialogue calls ----------------------------------------------------------------------------------
    def record(self, line: str) -> None:
        with self._lock:
            self.commands.append(line)

    def answered(self, verb: str) -> None:
        with self._lock:
            self._answered[verb] += 1

    def keep(self, mail: SinkMail) -> None:
        with self._lock:
            self._mails.append(mail)
            number = len(self._mails)
        if self.folder:
            (self.folder / f"{number:06}.eml").write_bytes(mail.raw)
        if self.deliver:
            self.deliver(mail)

    def fault(self, command: str, line: str) -> Fault | None:
        with self._lock:
            for rule in reversed(self._rules):
                if rule.applies(command, line):
                    rule.times = None if rule.times is None else rule.times - 1
                    return rule.fault
        return None

    def _accept_connections(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        dialogue = Dialogue(self, connection)
        with self._lock:
            self._open.add(dialogue)
        try:
            dialogue.run()
        except OSError:
            pass  # the client left, or did not like our certificate
        finally:
            with self._lock:
                self._open.discard(dialogue)
            dialogue.close()
            connection.close()
