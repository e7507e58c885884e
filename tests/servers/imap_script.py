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
    labels: str | None = None  # Gmail's, as they stand between the parentheses
    modseq: int = 1

    @property
    def size(self) -> int:
        return len(self.raw) if self.stated_size is None else self.stated_size


@dataclass
class Box:
    """A folder besides INBOX."""

    mails: dict[int, Mail] = field(default_factory=dict)
    uidvalidity: int = 1
    uidnext: int | None = -1
    mailbox_id: str = ""


@dataclass
class Talk:
    """One connection, as a fault sees it."""

    connection: socket.socket
    stopped: threading.Event
    folder: str = "INBOX"

    def say(self, *lines: bytes | str) -> None:
        self.send(b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines))

    def send(self, raw: bytes) -> None:
        self.connection.sendall(raw)


Fault = Callable[[Talk, str, str], bool | None]


@dataclass
class ScriptedImap:
    """Any user, any password; the folder INBOX, and `boxes`. `listed`: the lines of LIST.

    `faults` by step: GREETING, LOGIN, LIST, STATUS, EXAMINE, SEARCH, META, HEADER, BODY. A fault gets the connection,
    the tag and the arguments; what it returns says whether it has answered.
    """

    certificates: Certificates
    mails: dict[int, Mail] = field(default_factory=dict)
    uidvalidity: int = 1
    uidnext: int | None = -1  # -1: the truth; None: not stated
    highestmodseq: int | None = None
    capabilities: str = "IMAP4rev1"
    boxes: dict[str, Box] = field(default_factory=dict)
    listed: list[bytes | str] = field(default_factory=lambda: ['() "/" INBOX'])
    subscribed: list[bytes | str] = field(default_factory=list)
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
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # an answer is several writes
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
            step = "SEARCH" if word.upper() == "SEARCH" else _fetched(arguments)
        self.seen.append(step)

        def truth() -> None:
            refusal = getattr(self, f"_{step.lower()}", lambda *_: None)(talk, arguments)
            talk.say(f"{tag} {refusal or 'OK done'}")

        self._answer(talk, step, tag, arguments, truth)

    def _answer(self, talk: Talk, step: str, tag: str, arguments: str, truth: Callable[[], None]) -> None:
        fault = self.faults.get(step)
        if fault is None or not fault(talk, tag, arguments):
            truth()

    def _capability(self, talk: Talk, _: str) -> None:
        talk.say(f"* CAPABILITY {self.capabilities}")

    def _logout(self, talk: Talk, _: str) -> None:
        talk.say("* BYE")

    def _list(self, talk: Talk, _: str) -> None:
        for line in self.listed:
            talk.say(b"* LIST " + (line if isinstance(line, bytes) else line.encode()))

    def _lsub(self, talk: Talk, _: str) -> None:
        for line in self.subscribed:
            talk.say(b"* LSUB " + (line if isinstance(line, bytes) else line.encode()))

    def _box(self, name: str) -> Box | None:
        if name.upper() == "INBOX":
            return Box(self.mails, self.uidvalidity, self.uidnext)
        return self.boxes.get(name)

    def _status(self, talk: Talk, arguments: str) -> str | None:
        name = _unquoted(arguments)
        if (box := self._box(name)) is None:
            return "NO [NONEXISTENT] no such folder"
        mailbox_id = f" MAILBOXID ({box.mailbox_id})" if box.mailbox_id else ""
        talk.say(f'* STATUS "{name}" (UIDVALIDITY {box.uidvalidity} UIDNEXT {_top(box)}{mailbox_id})')
        return None

    def _examine(self, talk: Talk, arguments: str) -> str | None:
        name = _unquoted(arguments)
        if (box := self._box(name)) is None:
            return "NO [NONEXISTENT] no such folder"
        talk.folder = name
        talk.say(f"* {len(box.mails)} EXISTS", f"* OK [UIDVALIDITY {box.uidvalidity}] x")
        if (top := _top(box)) is not None:
            talk.say(f"* OK [UIDNEXT {top}] x")
        if self.highestmodseq is not None:
            talk.say(f"* OK [HIGHESTMODSEQ {self.highestmodseq}] x")
        if box.mailbox_id:
            talk.say(f"* OK [MAILBOXID ({box.mailbox_id})] x")
        return None

    def mails_of(self, talk: Talk) -> dict[int, Mail]:
        box = self._box(talk.folder)
        return box.mails if box else {}

    def _search(self, talk: Talk, arguments: str) -> None:
        talk.say("* SEARCH " + " ".join(map(str, self.chosen(arguments.partition(" ")[2], talk))))

    def _meta(self, talk: Talk, arguments: str) -> None:
        since = re.search(r"CHANGEDSINCE (\d+)", arguments)
        for uid in self.chosen(arguments.split(" ")[0], talk):
            mail = self.mails_of(talk)[uid]
            if since is None or mail.modseq > int(since[1]):
                labels = f" X-GM-LABELS ({mail.labels})" if mail.labels is not None else ""
                talk.say(
                    f"* {self.number(uid, talk)} FETCH (UID {uid} FLAGS ({mail.flags}) INTERNALDATE {mail.date} "
                    f"RFC822.SIZE {mail.size}{labels})"
                )

    def _header(self, talk: Talk, arguments: str) -> None:
        for uid in self.chosen(arguments.split(" ")[0], talk):
            mail = self.mails_of(talk)[uid]
            header = mail.raw[: mail.raw.index(b"\r\n\r\n") + 4]
            start = (
                f"* {self.number(uid, talk)} FETCH (UID {uid} FLAGS ({mail.flags}) BODY[HEADER]<0> {{{len(header)}}}"
            )
            talk.send(start.encode() + b"\r\n" + header + b")\r\n")

    def _body(self, talk: Talk, arguments: str) -> None:
        if piece := re.search(r"\[(HEADER)?\]<(\d+)\.(\d+)>", arguments):
            return self.say_piece(talk, int(arguments.split(" ")[0]), piece[1] or "", int(piece[2]), int(piece[3]))
        return self.say_bodies(talk, self.chosen(arguments.split(" ")[0], talk))

    def say_piece(self, talk: Talk, uid: int, section: str, origin: int, count: int) -> None:
        """RFC 3501, 6.4.5: a partial fetch."""
        if uid not in self.mails_of(talk):
            return
        raw = self.mails_of(talk)[uid].raw
        whole = raw[: raw.find(b"\r\n\r\n") + 4] if section else raw
        some = whole[origin : origin + count]
        start = f"* {self.number(uid, talk)} FETCH (UID {uid} BODY[{section}]<{origin}> {{{len(some)}}}\r\n"
        talk.send(start.encode() + some + b")\r\n")

    def say_bodies(self, talk: Talk, uids: Iterable[int]) -> None:
        for uid in uids:
            raw = self.mails_of(talk)[uid].raw
            start = f"* {self.number(uid, talk)} FETCH (UID {uid} BODY[] {{{len(raw)}}}\r\n"
            talk.send(start.encode() + raw + b")\r\n")

    def number(self, uid: int, talk: Talk | None = None) -> int:
        return sorted(self.mails if talk is None else self.mails_of(talk)).index(uid) + 1

    def chosen(self, uid_set: str, talk: Talk | None = None) -> list[int]:
        """The UIDs of a sequence set; "n:m" whose n is above all gives the last, as real servers do for "n:*"."""
        found: set[int] = set()
        for low, high in re.findall(r"(\d+)(?::(\d+|\*))?", uid_set):
            top = int(low) if not high else 2**32 if high == "*" else int(high)
            found |= {uid for uid in (self.mails if talk is None else self.mails_of(talk)) if int(low) <= uid <= top}
        return sorted(found)


def _fetched(arguments: str) -> str:
    return "HEADER" if "BODY.PEEK[HEADER]<0.65536>" in arguments else "BODY" if "BODY" in arguments else "META"


def _unquoted(arguments: str) -> str:
    quoted = re.match(r'"((?:[^"\\]|\\.)*)"', arguments)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else arguments.split(" ")[0]


def _top(box: Box) -> int | None:
    return max(box.mails, default=0) + 1 if box.uidnext == -1 else box.uidnext
