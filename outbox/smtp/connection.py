"""Commands and replies of one SMTP connection, each with a deadline, reported to a Watch. No models, no queries.

It replaces smtplib, which waits for ever for a server that sends single bytes, and takes half a reply for a whole one.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mailbox.endpoints import Endpoint
from mailbox.network import NotMade
from outbox.retry.faults import AFTER_DOT, Fault, Kind, Phase
from outbox.smtp.mail import Watch
from outbox.smtp.replies import Reply, printable, secret_forms, without_secrets
from outbox.smtp.transport import Garbage, Lost, Wire

T = TypeVar("T")
MOST_RECORDS = 8  # TLS records to read at once, so that a server that sends without end does not keep us
LAST_WORDS_SECONDS = 1.0  # longest wait for a reply that may have been sent, or may be on its way
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

    def drop(self) -> None:
        """Close the connection without QUIT."""
        if self._wire is not None:
            self._wire.close()
        self._wire = None

    async def _enter(self, phase: Phase) -> None:
        self._phase = phase
        await self._watch.reached(phase)

    async def _say(self, *lines: str) -> None:
        """Send commands by one write, each as a line with CRLF (RFC 5321 2.3.8)."""
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("A command is one line.")
        octets = "".join(f"{line}\r\n" for line in lines).encode()
        await self._guarded(self._connected().send(octets, self._left(), self._watch.waiting))

    async def _answer_to(self, shown: str) -> Reply:
        reply = await self._read()
        self._note(shown, reply)
        return reply

    async def _command(self, line: str, shown: str | None = None) -> Reply:
        await self._say(line)
        return await self._answer_to(line if shown is None else shown)

    async def _read(self, patience: float | None = None) -> Reply:
        seconds = self._left() if patience is None else patience
        reply = await self._guarded(self._connected().read_reply(seconds, self._watch.waiting))
        return Reply(reply.code, self._clean(reply.text))

    def _left(self) -> float:
        return max(0.05, min(self._patience.command, self._deadline - time.monotonic()))

    async def _last_words(self, shown: str = "(not asked)") -> Reply | None:
        """A whole reply that has arrived, or arrives within a moment; else None."""
        try:
            reply = await self._read(LAST_WORDS_SECONDS)
        except SmtpFailure:
            return None
        self._note(shown, reply)
        return reply

    def _look(self) -> bool:
        """Read what has arrived, without waiting; return whether anything is unread.

        Raises SmtpFailure when the connection has ended and nothing is left to read.
        """
        wire = self._connected()
        try:
            for _ in range(MOST_RECORDS):
                if not wire.look():
                    break
        except (Lost, OSError) as error:
            if not wire.has_unread():
                raise self._told(error) from error
        return wire.has_unread()

    def _note(self, command: str, reply: Reply) -> None:
        self._watch.heard(self._phase, self._clean(command), str(reply))

    def _expect(self, reply: Reply, code: int) -> None:
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

    def _failure(self, kind: Kind, words: str, surplus: Sequence[Reply] = ()) -> SmtpFailure:
        return SmtpFailure(Fault(self._phase, kind, self._clean(words)), surplus=surplus)

    async def _guarded(self, act: Awaitable[T]) -> T:
        """Await `act`; raise errors of sockets and TLS as an SmtpFailure of the current phase."""
        try:
            return await act
        except WRONG as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> SmtpFailure:
        host, kind = f"{self._endpoint.host}:{self._endpoint.port}", Kind.NETWORK
        match error:
            case Lost():
                words, kind = str(error), Kind.PROTOCOL if isinstance(error, Garbage) else kind
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
        return self._failure(kind, words)
