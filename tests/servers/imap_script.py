"""A small IMAP server whose every answer a test may replace: for what no Dovecot would do."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.servers.certificates import Certificates


class HangUp(Exception):
    """Raised by a fault: close the connection without a word."""


@dataclass
class Mail:
    raw: bytes
    flags: str = ""
    date: str = '"01-Mar-2024 12:00:00 +0000"'
    stated_size: int | None = None

    @property
    def size(self) -> int:
        return len(self.raw) if self.stated_size is None else self.stated_size


@dataclass
class Talk:
    """One connection, as a fault sees it."""

    connection: socket.socket
    stopped: threading.Event

    def say(self, *lines: bytes | str) -> None:
        self.send(b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines))

    def send(self, raw: bytes) -> None:
        self.connection.sendall(raw)


Fault = Callable[[Talk, str, str], bool | None]


@dataclass
class ScriptedImap:
    """Any user, any password, one folder INBOX. `faults` by step: GREETING, LOGIN, LIST, EXAMINE, SEARCH, META, BODY.

    A fault gets the connection, the tag and the arguments; what it returns says whether it has answered.
    """

    certificates: Certificates
    mails: dict[int, Mail] = field(default_factory=dict)
    uidvalidity: int = 1
    uidnext: int | None = -1  # -1: the truth; None: not stated
    highestmodseq: int | None = None
    faults: dict[str, Fault] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def start(self) -> ScriptedImap:
        self._stopped = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(60)
        with contextlib.suppress(OSError, HangUp, ValueError):
            connection = self.certificates.server_context().wrap_socket(plain, server_side=True)
            with connection:
                talk = Talk(connection, self._stopped)
                self._answer(talk, "GREETING", "", "", lambda: talk.say("* OK ready"))
                with connection.makefile("rb") as lines:
                    for line in lines:
                        tag, command, arguments = [*line.decode("latin-1").strip().split(" ", 2), ""][:3]
                        self._obey(talk, tag, command.upper(), arguments)
                        if command.upper() == "LOGOUT":
                            return
        plain.close()

    def _obey(self, talk: Talk, tag: str, command: str, arguments: str) -> None:
        step = command
        if command == "UID":
            word, _, arguments = arguments.partition(" ")
            step = "SEARCH" if word.upper() == "SEARCH" else "BODY" if "BODY" in arguments else "META"
        self.seen.append(step)

        def truth() -> None:
            getattr(self, f"_{step.lower()}", lambda *_: None)(talk, arguments)
            talk.say(f"{tag} OK done")

        self._answer(talk, step, tag, arguments, truth)

    def _answer(self, talk: Talk, step: str, tag: str, arguments: str, truth: Callable[[], None]) -> None:
        fault = self.faults.get(step)
        if fault is None or not fault(talk, tag, arguments):
            truth()

    def _capability(self, talk: Talk, _: str) -> None:
        talk.say("* CAPABILITY IMAP4rev1")

    def _logout(self, talk: Talk, _: str) -> None:
        talk.say("* BYE")

    def _list(self, talk: Talk, _: str) -> None:
        talk.say('* LIST () "/" INBOX')

    def _examine(self, talk: Talk, _: str) -> None:
        talk.say(f"* {len(self.mails)} EXISTS", f"* OK [UIDVALIDITY {self.uidvalidity}] x")
        top = max(self.mails, default=0) + 1 if self.uidnext == -1 else self.uidnext
        if top is not None:
            talk.say(f"* OK [UIDNEXT {top}] x")
        if self.highestmodseq is not None:
            talk.say(f"* OK [HIGHESTMODSEQ {self.highestmodseq}] x")

    def _search(self, talk: Talk, arguments: str) -> None:
        talk.say("* SEARCH " + " ".join(map(str, self.chosen(arguments.partition(" ")[2]))))

    def _meta(self, talk: Talk, arguments: str) -> None:
        for uid in self.chosen(arguments.split(" ")[0]):
            mail = self.mails[uid]
            talk.say(
                f"* {self.number(uid)} FETCH (UID {uid} FLAGS ({mail.flags}) INTERNALDATE {mail.date} "
                f"RFC822.SIZE {mail.size})"
            )

    def _body(self, talk: Talk, arguments: str) -> None:
        self.say_bodies(talk, self.chosen(arguments.split(" ")[0]))

    def say_bodies(self, talk: Talk, uids: Iterable[int]) -> None:
        for uid in uids:
            raw = self.mails[uid].raw
            talk.send(f"* {self.number(uid)} FETCH (UID {uid} BODY[] {{{len(raw)}}}\r\n".encode() + raw + b")\r\n")

    def number(self, uid: int) -> int:
        return sorted(self.mails).index(uid) + 1

    def chosen(self, uid_set: str) -> list[int]:
        """The UIDs of a sequence set; "n:m" whose n is above all gives the last, as real servers do for "n:*"."""
        found: set[int] = set()
        for low, high in re.findall(r"(\d+)(?::(\d+|\*))?", uid_set):
            top = int(low) if not high else 2**32 if high == "*" else int(high)
            found |= {uid for uid in self.mails if int(low) <= uid <= top}
        return sorted(found)
