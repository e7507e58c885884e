"""Commands and replies of one SMTP connection, each with a deadline, reported to a Watch. No models, no queries.

It replaces smtplib, which waits for ever for a server that sends single bytes, and takes half a reply for a whole one.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mailbox.endpoints import Endpoint
from mailbox.network import NotMade
from outbox.retry.faults import AFTER_DOT, Fault, Kind, Phase
from outbox.smtp.replies import Reply, printable, secret_forms, without_secrets
from outbox.smtp.transport import Lost, Wire

T = TypeVar("T")
MOST_RECORDS = 8  # TLS records to read at once, so that a server that sends without end does not keep us
QUIT_SECONDS = 5.0
QUIT_GRACE_SECONDS = 1.0  # wait for a second reply after QUIT: if it comes, the first was not the answer to QUIT
WRONG = (Lost, OSError, UnicodeError)  # raised by sockets and TLS; UnicodeError: a host name that IDNA cannot encode


@dataclass(frozen=True)
class SmtpTimeouts:
    """Time-outs in seconds, for each reply and write (RFC 5321 4.5.3.2) and for a whole mail.

    write: how long the body may make no progress. session: limit for one mail up to its end, besides the time that its
    octets take at `slowest_bytes_per_second`: so a large mail on a slow line is sent, and an upload without end fails.
    """

    connect: float = 10
    command: float = 60
    final_dot: float = 600
    session: float = 290
    slowest_bytes_per_second: float = 8 * 1024
    write: float = 180


class SmtpFailure(Exception):
    """A session or a mail failed. refused: recipient -> reply, of those refused before the failure. surplus: replies of
    which one was not asked for, so that it may be the answer to the mail before."""

    def __init__(self, fault: Fault, *, surplus: Sequence[Reply] = ()) -> None:
        super().__init__(fault.reply)
        self.fault, self.surplus = fault, surplus
        self.refused: dict[str, Reply] = {}

    @property
    def took_nothing(self) -> bool:
        """Whether the server cannot have taken the mail: its end was not written, or the envelope was refused."""
        return self.fault.phase not in AFTER_DOT


class Watch:
    """Observes a session: its phases, its replies, its waits. Override what matters."""

    async def reached(self, phase: Phase) -> None:
        """A phase begins. An exception ends the session."""

    def heard(self, phase: Phase, command: str, reply: str) -> None:
        """The server has answered; secrets were removed from both texts."""

    async def waiting(self) -> None:
        """Called every few seconds while the session waits for a reply or a write. An exception ends the session."""


class SmtpCommands:
    """Sends commands and reads replies; raises every failure as an SmtpFailure of the current phase."""

    def __init__(self, endpoint: Endpoint, patience: SmtpTimeouts, watch: Watch) -> None:
        self._endpoint, self._patience, self._watch = endpoint, patience, watch
        self._forms = secret_forms(endpoint)
        self._phase = Phase.CONNECT
        self._wire: Wire | None = None
        self._deadline = time.monotonic() + patience.session

    @property
    def is_open(self) -> bool:
        """Whether there is a connection; False before it is made, and once a failure has closed it."""
        return self._wire is not None

    def watch_with(self, watch: Watch) -> None:
        """Begin the next mail of this session: another watch, and a new deadline."""
        self._watch = watch
        self._connected().waiting = watch.waiting
        self._deadline = time.monotonic() + self._patience.session

    async def quit(self) -> Sequence[Reply]:
        """QUIT and close. Returns replies other than QUIT's, of which one may be the answer to the last mail.

        Other failures are ignored.
        """
        surplus = list[Reply]()
        if self._wire is not None:
            with contextlib.suppress(Lost, OSError, SmtpFailure):
                self._look()
                if self._wire.has_unread():
                    surplus.append(await self._wire.read_reply(QUIT_GRACE_SECONDS))
                await self._wire.send(b"QUIT\r\n", QUIT_SECONDS)
                answer = await self._wire.read_reply(QUIT_SECONDS)
                # A single reply other than 221 is an odd answer to QUIT; if another one follows, it was not the answer.
                if answer.code != 221 and await self._wire.last_words(QUIT_GRACE_SECONDS):
                    surplus.append(answer)
        self.drop()
        # 421: the server closes the connection by itself.
        return [Reply(each.code, self._clean(each.text)) for each in surplus if each.code != 421]

    def drop(self) -> None:
        """Close the connection without QUIT."""
        if self._wire is not None:
            self._wire.close()
        self._wire = None

    async def _enter(self, phase: Phase) -> None:
        self._phase = phase
        await self._watch.reached(phase)

    async def _say(self, *lines: str) -> None:
        """Send commands by one write."""
        await self._send(octets(lines))

    async def _send(self, what: bytes) -> None:
        try:
            await self._connected().send(what, self._left())
        except WRONG as error:
            raise self._told(error) from error

    async def _answer_to(self, shown: str) -> Reply:
        reply = await self._read()
        self._note(shown, reply)
        return reply

    async def _command(self, line: str, shown: str | None = None) -> Reply:
        await self._say(line)
        return await self._answer_to(line if shown is None else shown)

    async def _read(self, patience: float | None = None) -> Reply:
        seconds = self._left() if patience is None else patience
        try:
            reply = await self._connected().read_reply(seconds, self._watch.waiting)
        except WRONG as error:
            raise self._told(error) from error
        return Reply(reply.code, self._clean(reply.text))

    def _left(self) -> float:
        return max(0.05, min(self._patience.command, self._deadline - time.monotonic()))

    async def _check_nothing_said(self) -> None:
        """Raise SmtpFailure if the server has closed the session, or sent an unsolicited reply, before this mail."""
        self._look()
        await self._check_in_step()

    def _look(self) -> bool:
        """Read what has arrived, without waiting; return whether anything had.

        Raises SmtpFailure when the connection has ended and nothing is left to read.
        """
        has_found = False
        try:
            for _ in range(MOST_RECORDS):
                if not self._connected().look():
                    break
                has_found = True
        except (Lost, OSError) as error:
            if not self._connected().has_unread():
                raise self._told(error) from error
            return True
        return has_found

    async def _check_in_step(self) -> None:
        """Raise SmtpFailure if there is an unsolicited reply: it would be taken for the answer to the next command, at
        worst for "accepted" before the mail was sent."""
        if self._connected().has_unread():
            surplus = await self._answer_to("(not asked)")
            if surplus.code == 421:  # it may close whenever it likes (RFC 5321 3.8)
                raise self._refusal(surplus)
            raise self._out_of_step(f"The server answered more than it was asked: {surplus}", [surplus])

    def _out_of_step(self, words: str, surplus: Sequence[Reply]) -> SmtpFailure:
        return SmtpFailure(Fault(self._phase, Kind.PROTOCOL, self._clean(words)), surplus=surplus)

    async def _is_contradicted(self) -> bool:
        """Whether a positive reply follows the refusal of a mail: one of the two answers something else, so the mail
        may have been taken. 421, or half a line before the connection closes, does not count."""
        with contextlib.suppress(SmtpFailure):  # closed; what it sent before can still be read
            self._look()
        try:
            while self._connected().has_unread():
                reply = await self._read(1)
                self._note("(not asked)", reply)
                if reply.code < 400:
                    return True
        except SmtpFailure:
            pass
        return False

    def _note(self, command: str, reply: Reply) -> None:
        self._watch.heard(self._phase, self._clean(command), str(reply))

    def _expect(self, command: str, reply: Reply, code: int) -> None:
        if not command:
            self._note("(greeting)", reply)
        if reply.code != code:
            raise self._refusal(reply)

    def _connected(self) -> Wire:
        if self._wire is None:
            raise self._failure(Kind.NETWORK, "The connection is closed.")
        return self._wire

    def _clean(self, text: str) -> str:
        return printable(without_secrets(text, self._forms))

    def _refusal(self, reply: Reply) -> SmtpFailure:
        if reply.code >= 400:
            return SmtpFailure(Fault(self._phase, Kind.REPLY, str(reply), reply.code))
        words = f"The server's answer is none to what it was asked: {reply}"
        return SmtpFailure(Fault(self._phase, Kind.PROTOCOL, words, reply.code))

    def _failure(self, kind: Kind, words: str) -> SmtpFailure:
        return SmtpFailure(Fault(self._phase, kind, self._clean(words)))

    async def _guarded(self, act: Awaitable[T]) -> T:
        """Await `act`; raise errors of sockets and TLS as an SmtpFailure of the current phase."""
        try:
            return await act
        except WRONG as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> SmtpFailure:
        host = f"{self._endpoint.host}:{self._endpoint.port}"
        match error:
            case Lost():
                return self._failure(Kind.PROTOCOL if error.is_garbage else Kind.NETWORK, str(error))
            case ssl.SSLCertVerificationError():
                words = f"The certificate of {host} is not trusted: {error.verify_message or error}."
            case ssl.SSLError():
                words = f"TLS with {host} failed: {error.reason or error}."
            case NotMade():
                words = str(error)
            case TimeoutError():
                words = f"{host} did not answer in time."
            case _:
                words = f"{host} cannot be reached: {error}."
        return self._failure(Kind.NETWORK, words)


def octets(lines: Sequence[str]) -> bytes:
    """The commands as lines with CRLF (RFC 5321 2.3.8). Raises ValueError for a command with a line break."""
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("A command is one line.")
    return "".join(f"{line}\r\n" for line in lines).encode()
