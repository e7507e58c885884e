"""One SMTP connection as commands and replies, each with its deadline, told to a Watch. No models, no queries.

The standard library's smtplib waits for ever on a server that drips and cannot tell half a reply from a whole one, so
what it would do beneath an outbox is done in smtp_wire and here.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mailbox.endpoints import Endpoint
from outbox.eventloop.coroutines import Steps, to_the_end
from outbox.retry.policy import Fault, Kind, Phase
from outbox.smtp.replies import Reply, printable, secret_forms, without_secrets
from outbox.smtp.transport import Lost, Wire

T = TypeVar("T")
WRONG = (Lost, OSError, UnicodeError)  # what sockets and TLS raise; UnicodeError: a host name that IDNA cannot encode


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds. `session` bounds everything before the final dot, so that leases nest."""

    connect: float = 10
    command: float = 60
    final_dot: float = 600
    session: float = 290


class SmtpFailure(Exception):
    """A session or a mail failed. `refused` holds the recipients refused before that; `took_nothing`: the server has
    nothing of the mail, although "data" was committed."""

    def __init__(self, fault: Fault, *, refused: dict[str, Reply] | None = None, took_nothing: bool = False) -> None:
        super().__init__(fault.reply)
        self.fault, self.took_nothing = fault, took_nothing
        self.refused = refused or {}


class Watch:
    """What the session tells while it goes: where it is, each reply, and that it still waits. Override what matters."""

    def reached(self, phase: Phase) -> None:
        """A phase begins. May raise, which ends the session."""

    def heard(self, phase: Phase, command: str, reply: str) -> None:
        """The server answered; both texts are without secrets."""

    def waiting(self) -> None:
        """Called every few seconds while an answer is waited for. Must not raise."""


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
        """The next mail of this session is another row's."""
        self._watch = watch

    def close(self) -> None:
        """`quit`, here and now."""
        to_the_end(self.quit())

    def quit(self) -> Steps[None]:
        """QUIT and close. What goes wrong here means nothing: every answer that counts has been read."""
        if self._wire is not None:
            try:
                yield from self._wire.send(b"QUIT\r\n", 5)
                yield from self._wire.read_reply(5, lambda: None)
            except (Lost, OSError):
                pass
        self.drop()

    def drop(self) -> None:
        """Close without a word."""
        if self._wire is not None:
            self._wire.close()
        self._wire = None

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._watch.reached(phase)

    def _say(self, *lines: str) -> Steps[None]:
        """Send commands, in one packet where they fit."""
        yield from self._send(octets(lines))

    def _send(self, what: bytes) -> Steps[None]:
        try:
            yield from self._connected().send(what, self._left())
        except WRONG as error:
            raise self._told(error) from error

    def _answer_to(self, shown: str) -> Steps[Reply]:
        reply = yield from self._read()
        self._note(shown, reply)
        return reply

    def _command(self, line: str, shown: str | None = None) -> Steps[Reply]:
        yield from self._say(line)
        return (yield from self._answer_to(line if shown is None else shown))

    def _read(self, patience: float | None = None) -> Steps[Reply]:
        seconds = self._left() if patience is None else patience
        try:
            reply = yield from self._connected().read_reply(seconds, self._watch.waiting)
        except WRONG as error:
            raise self._told(error) from error
        return Reply(reply.code, self._clean(reply.text))

    def _left(self) -> float:
        return max(0.05, min(self._patience.command, self._deadline - time.monotonic()))

    def _check_nothing_said(self) -> Steps[None]:
        """A server that ended the session, or said something unasked, did so before this mail."""
        self._look()
        yield from self._check_in_step()

    def _look(self) -> bool:
        """Take what has arrived; whether anything had."""
        try:
            return self._connected().look()
        except (Lost, OSError) as error:
            raise self._told(error) from error

    def _check_in_step(self) -> Steps[None]:
        """A server that has said more than it was asked: the surplus would be taken for the answer to what comes, at
        worst for "accepted" before the mail was there."""
        if self._connected().has_unread():
            surplus = yield from self._answer_to("(not asked)")
            if surplus.code == 421:  # it may close whenever it likes (RFC 5321 3.8)
                raise self._refusal(surplus)
            raise self._failure(Kind.PROTOCOL, f"The server answered more than it was asked: {surplus}")

    def _is_contradicted(self) -> Steps[bool]:
        """Whether a yes stands behind the refusal of a mail: one of the two was said of something else, and the mail
        may be there. What a server says as it closes ("421 ...", half a line) takes no refusal back."""
        with contextlib.suppress(SmtpFailure):  # it has closed, and said its last words before
            self._look()
        try:
            while self._connected().has_unread():
                reply = yield from self._read(1)
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

    def _guarded(self, act: Callable[[], T]) -> T:
        """Turn what sockets and TLS raise into an SmtpFailure of the present phase."""
        try:
            return act()
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
            case TimeoutError():
                words = f"{host} did not answer in time."
            case _:
                words = f"{host} cannot be reached: {error}."
        return self._failure(Kind.NETWORK, words)


def octets(lines: Sequence[str]) -> bytes:
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("A command is one line.")
    return "".join(f"{line}\r\n" for line in lines).encode()
