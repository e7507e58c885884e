"""One mail on an open SMTP session: envelope, DATA, body, answer, and what is done beside them. No models, no queries.

What waits for the server costs time, so the sender works meanwhile: see Beside. Commands are grouped (PIPELINING, RFC
2920), but never across the final dot: Dovecot's submission server, at least up to 2.3, crashes when MAIL follows the
dot in one packet, after it took the mail and before it said so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from mailbox.endpoints import Endpoint

from outbox.retry import Kind, Phase
from outbox.smtp_conversation import Conversation, Patience, SmtpFailure, Watch
from outbox.smtp_replies import Reply
from outbox.smtp_wire import Lost

CHUNK = 64 * 1024
GRACE_SECONDS = 0.005
RECIPIENTS_AT_ONCE = 100  # commands in one group: their replies fit into any socket's buffer
LONGEST_LINE = 998  # bytes without CRLF (RFC 5321 4.5.3.1.6)


@dataclass(frozen=True)
class Envelope:
    mail_from: str
    rcpt_to: Sequence[str]
    smtputf8: bool = False


@dataclass
class Delivery:
    """What the server said of one mail. `final` is None when DATA was not sent, because of `refused` or `stopped`."""

    accepted: list[str] = field(default_factory=list)
    refused: dict[str, Reply] = field(default_factory=dict)
    final: Reply | None = None
    stopped: bool = False  # before_data said no: nothing was sent


class Beside:
    """What a sender does beside one mail. Whatever is raised in here leaves the session in the middle of something."""

    def kept_waiting(self) -> None:
        """The answers to MAIL and RCPT take longer than GRACE_SECONDS. Called once a mail at most."""

    def before_data(self, delivery: Delivery) -> bool:
        """Commit "data"; False when the mail must be left."""
        return True

    def given(self) -> None:
        """The whole mail is with the server, and the answer is not read yet. Must not raise."""


class MailConversation(Conversation):
    def __init__(self, endpoint: Endpoint, patience: Patience, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._extensions: dict[str, str] = {}  # EHLO keyword, lower case -> its parameters

    def deliver(self, envelope: Envelope, content: bytes, beside: Beside) -> Delivery:
        """Send one mail.

        Raises SmtpFailure. A refused recipient is no failure but part of the answer. `is_open` then says whether the
        session can carry another mail: after a lost or late answer it cannot, since what arrives next would be taken
        for the answer to the next mail.
        """
        delivery = Delivery()
        try:
            self._send_envelope(envelope, content, delivery, beside)
            if not delivery.accepted:
                self._reset()
                return delivery
            self._check_in_step()
            if not beside.before_data(delivery):
                delivery.stopped = True
                self._reset()
                return delivery
            delivery.final = self._data(content, beside)
        except SmtpFailure as failure:
            failure.refused = delivery.refused
            if failure.fault.kind in (Kind.REPLY, Kind.LOCAL) and failure.fault.code != 421:
                self._reset()
            else:
                self.drop()
            raise
        self._enter(Phase.ACCEPTED)
        return delivery

    def _send_envelope(self, envelope: Envelope, content: bytes, delivery: Delivery, beside: Beside) -> None:
        self._enter(Phase.MAIL)
        mail = f"MAIL FROM:<{envelope.mail_from}>{self._parameters(envelope, content)}"
        groups = [[mail]]
        for address in envelope.rcpt_to:
            if "pipelining" not in self._extensions or len(groups[-1]) > RECIPIENTS_AT_ONCE:
                groups.append([])
            groups[-1].append(f"RCPT TO:<{address}>")
        grace, waits = time.monotonic() + GRACE_SECONDS, iter([beside.kept_waiting])
        for group in groups:
            self._say(*group)
            self._hear_group(group, envelope, delivery, grace, waits)

    def _hear_group(
        self,
        group: Sequence[str],
        envelope: Envelope,
        delivery: Delivery,
        grace: float,
        waits: Iterator[Callable[[], None]],
    ) -> None:
        """Read every answer of a group before judging: what is left unread would be taken for another's."""
        refusal: SmtpFailure | None = None
        for line in group:
            is_mail = line.startswith("MAIL")
            if not is_mail and self._phase is not Phase.RCPT:
                self._enter(Phase.RCPT)
            if not self._connected().has_line(grace) and (kept_waiting := next(waits, None)):
                kept_waiting()
            try:
                reply = self._answer_to(line)
            except SmtpFailure as lost:
                # Lost behind a refusal: the refusal is what the server meant.
                raise refusal or lost from lost
            if refusal is not None:
                continue
            try:
                self._judge(is_mail, reply, envelope, delivery)
            except SmtpFailure as failure:
                refusal = failure
                if reply.code == 421:  # the server closes
                    break
        if refusal is not None:
            raise refusal

    def _judge(self, is_mail: bool, reply: Reply, envelope: Envelope, delivery: Delivery) -> None:
        if is_mail:
            self._expect("MAIL", reply, 250)
            return
        address = envelope.rcpt_to[len(delivery.accepted) + len(delivery.refused)]
        if reply.code in (250, 251, 252):
            delivery.accepted.append(address)
        elif reply.code == 421:  # this is no word on the recipient
            self._expect("RCPT", reply, 250)
        elif reply.code >= 400:
            delivery.refused[address] = reply
        else:
            raise self._failure(Kind.PROTOCOL, str(reply))

    def _parameters(self, envelope: Envelope, content: bytes) -> str:
        parameters = ""
        if "size" in self._extensions:
            limit = self._extensions["size"].split()
            if limit and limit[0].isdigit() and 0 < int(limit[0]) < len(content):
                raise self._failure(
                    Kind.LOCAL, f"The mail has {len(content)} bytes and the server takes at most {limit[0]}: send less."
                )
            parameters += f" SIZE={len(content)}"
        if max(map(len, content.split(b"\n"))) > LONGEST_LINE + 1:
            raise self._failure(Kind.LOCAL, "The mail has a line of more than 998 bytes and cannot be sent as it is.")
        if not content.isascii() and "8bitmime" in self._extensions:
            parameters += " BODY=8BITMIME"
        if envelope.smtputf8:
            if "smtputf8" not in self._extensions:
                raise self._failure(
                    Kind.LOCAL, "The server does not offer SMTPUTF8, which an address of this mail needs: use another."
                )
            parameters += " SMTPUTF8"
        return parameters

    def _data(self, content: bytes, beside: Beside) -> Reply:
        self._phase = Phase.DATA  # from here on, silence is uncertainty
        self._expect("DATA", self._command("DATA"), 354)
        self._check_in_step()
        wire = self._connected()
        try:
            for chunk in _chunks(_dot_stuffed(content) + b".\r\n"):
                wire.send(chunk, self._left())
                self._watch.waiting()
        except (Lost, OSError) as error:
            # A server that has had enough may have said so before it closed; then nothing was taken for certain.
            if (said := wire.last_words()) and said.code >= 400:
                self._note("(body)", said)
                raise self._refusal(said) from error
            raise self._failure(Kind.NETWORK, f"The connection was lost while the mail was sent: {error}") from error
        beside.given()
        reply = self._read(self._patience.final_dot)
        self._note("(end of mail)", reply)
        if 200 <= reply.code < 300:
            return reply
        raise self._refusal(reply)

    def _check_in_step(self) -> None:
        """A server that has said more than it was asked: the surplus would be taken for the answer to what comes, at
        worst for "accepted" before the mail was there."""
        if self._connected().has_unread():
            surplus = self._answer_to("(not asked)")
            if surplus.code == 421:  # it may close whenever it likes (RFC 5321 3.8)
                raise self._refusal(surplus)
            raise self._failure(Kind.PROTOCOL, f"The server answered more than it was asked: {surplus}")

    def _reset(self) -> None:
        """RSET, so that the next mail starts afresh; a session that does not take it is closed."""
        try:
            is_clean = self._command("RSET").code == 250
        except SmtpFailure:
            is_clean = False
        if not is_clean:
            self.drop()


def _dot_stuffed(content: bytes) -> bytes:
    """CRLF line ends, a dot doubled at a line's start (RFC 5321 4.5.2), CRLF at the end."""
    if (
        not content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")
    ):  # a bare CR or LF is how mails are smuggled: none goes out
        content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    if content.startswith(b"."):
        content = b"." + content
    return content.replace(b"\r\n.", b"\r\n..")


def _chunks(content: bytes) -> Iterator[memoryview]:
    view = memoryview(content)
    return (view[start : start + CHUNK] for start in range(0, len(view), CHUNK))
