"""One SMTP connection as commands and replies, each with its deadline, told to a Watch. No models, no queries.

The standard library's smtplib waits for ever on a server that drips and cannot tell half a reply from a whole one, so
what it would do beneath an outbox is done in transport and here.
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
MOST_RECORDS = 8  # of TLS, looked at in one go: a server that goes on talking must not keep us
QUIT_SECONDS = 5.0
QUIT_GRACE_SECONDS = 1.0  # for the second reply to QUIT, which tells that the first was not its own
WRONG = (Lost, OSError, UnicodeError)  # what sockets and TLS raise; UnicodeError: a host name that IDNA cannot encode


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds: for each reply and each write (RFC 5321 4.5.3.2), and for the whole of a mail.

    `write` is how long the body of a mail may make no progress. `session` bounds what a mail may take before its final
    dot, without the time that its octets take at `slowest_bytes_per_second`: a large mail on a slow line goes out, an
    upload that never ends is one failure.
    """

    connect: float = 10
    command: float = 60
    final_dot: float = 600
    session: float = 290
    slowest_bytes_per_second: float = 8 * 1024
    write: float = 180


class SmtpFailure(Exception):
    """A session or a mail failed. `refused` holds the recipients refused before that; `surplus`: words of the server
    of which one was not asked for, so that it may be the answer to the mail before this one."""

    def __init__(self, fault: Fault, *, surplus: Sequence[Reply] = ()) -> None:
        super().__init__(fault.reply)
        self.fault, self.surplus = fault, surplus
        self.refused: dict[str, Reply] = {}

    @property
    def took_nothing(self) -> bool:
        """The server lacks the end of the mail, or refused sender or recipients: it cannot have taken it."""
        return self.fault.phase not in AFTER_DOT


class Watch:
    """What the session tells while it goes: where it is, each reply, and that it still waits. Override what matters."""

    async def reached(self, phase: Phase) -> None:
        """A phase begins. May raise, which ends the session."""

    def heard(self, phase: Phase, command: str, reply: str) -> None:
        """The server answered; both texts are without secrets."""

    async def waiting(self) -> None:
        """Called every few seconds while an answer is waited for, or a write. May raise, which ends the session."""


class Conversation:
    """Says a command, reads its reply, and turns whatever goes wrong into an SmtpFailure of the present phase."""

    def __init__(self, endpoint: Endpoint, patience: Patience, watch: Watch) -> None:
        self._endpoint, self._patience, self._watch = endpoint, patience, watch
        self._forms = secret_forms(endpoint)
        self._phase = Phase.CONNECT
        self._wire: Wire | None = None
        self._deadline = time.monotonic() + patience.session

    @property
    def is_open(self) -> bool:
        return self._wire is not None

    def watch_with(self, watch: Watch) -> None:
        """The next mail of this session is another row's, with its own time."""
        self._watch = watch
        self._connected().waiting = watch.waiting
        self._deadline = time.monotonic() + self._patience.session

    async def quit(self) -> Sequence[Reply]:
        """QUIT and close. Returns what the server had said before its answer to QUIT, words that nobody asked for and
        that may be the answer to the last mail. What else goes wrong means nothing."""
        surplus = list[Reply]()
        if self._wire is not None:
            with contextlib.suppress(Lost, OSError, SmtpFailure):
                self._look()
                if self._wire.has_unread():
                    surplus.append(await self._wire.read_reply(QUIT_GRACE_SECONDS))
                await self._wire.send(b"QUIT\r\n", QUIT_SECONDS)
                answer = await self._wire.read_reply(QUIT_SECONDS)
                # A lone other word is a bad answer to QUIT. With another reply behind it, it was not the answer.
                if answer.code != 221 and await self._wire.last_words(QUIT_GRACE_SECONDS):
                    surplus.append(answer)
        self.drop()
        # 421 is the farewell of a server that closes by itself.
        return [Reply(each.code, self._clean(each.text)) for each in surplus if each.code != 421]

    def drop(self) -> None:
        """Close without a word."""
        if self._wire is not None:
            self._wire.close()
        self._wire = None

    async def _enter(self, phase: Phase) -> None:
        self._phase = phase
        await self._watch.reached(phase)

    async def _say(self, *lines: str) -> None:
        """Send commands, in one packet where they fit."""
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
        """A server that ended the session, or said something unasked, did so before this mail."""
        self._look()
        await self._check_in_step()

    def _look(self) -> bool:
        """Take what has arrived; whether anything had. Raises SmtpFailure when the connection has ended, and nothing
        that was said before is unread."""
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
        """A server that has said more than it was asked: the surplus would be taken for the answer to what comes, at
        worst for "accepted" before the mail was there."""
        if self._connected().has_unread():
            surplus = await self._answer_to("(not asked)")
            if surplus.code == 421:  # it may close whenever it likes (RFC 5321 3.8)
                raise self._refusal(surplus)
            raise self._out_of_step(f"The server answered more than it was asked: {surplus}", [surplus])

    def _out_of_step(self, words: str, surplus: Sequence[Reply]) -> SmtpFailure:
        return SmtpFailure(Fault(self._phase, Kind.PROTOCOL, self._clean(words)), surplus=surplus)

    async def _is_contradicted(self) -> bool:
        """Whether a yes stands behind the refusal of a mail: one of the two was said of something else, and the mail
        may be there. What a server says as it closes ("421 ...", half a line) takes no refusal back."""
        with contextlib.suppress(SmtpFailure):  # it has closed, and said its last words before
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
        kind = Kind.REPLY if reply.code >= 400 else Kind.PROTOCOL
        return SmtpFailure(Fault(self._phase, kind, str(reply), reply.code))

    def _failure(self, kind: Kind, words: str) -> SmtpFailure:
        return SmtpFailure(Fault(self._phase, kind, self._clean(words)))

    async def _guarded(self, act: Awaitable[T]) -> T:
        """Turn what sockets and TLS raise into an SmtpFailure of the present phase."""
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
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("A command is one line.")
    return "".join(f"{line}\r\n" for line in lines).encode()
