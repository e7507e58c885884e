"""One mail on an open SMTP session: envelope, DATA, body, answer, and what is done beside them. No models, no queries.

What waits for the server costs time, so the sender works meanwhile: see Beside. Commands are grouped (PIPELINING, RFC
2920), but never across the end of a mail: Dovecot's submission server, at least up to 2.3, crashes when MAIL follows
the final dot, or the last chunk, in one packet, after it took the mail and before it said so. A small mail goes as one
chunk where CHUNKING (RFC 3030) is offered: a round trip less than by DATA.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mailbox.endpoints import Endpoint
from outbox.eventloop.coroutines import Steps
from outbox.retry.policy import Kind, Phase
from outbox.smtp import dsn
from outbox.smtp.connection import Conversation, Patience, SmtpFailure, Watch
from outbox.smtp.octets import CHUNK, chunks, dot_stuffed, with_crlf
from outbox.smtp.replies import Reply
from outbox.smtp.transport import Lost

GRACE_SECONDS = 0.005
RECIPIENTS_AT_ONCE = 100  # commands in one group: their replies fit into any socket's buffer
LONGEST_LINE = 998  # bytes without CRLF (RFC 5321 4.5.3.1.6)
NOT_KNOWN = (500, 501, 502, 503, 504)  # replies to a command that the server does not know after all
_without_bdat: set[tuple[str, int]] = set()  # host and port of servers that offered CHUNKING and did not know BDAT


@dataclass(frozen=True)
class Envelope:
    mail_from: str
    rcpt_to: Sequence[str]
    smtputf8: bool = False
    envelope_id: str = ""  # what reports about it are to name (ENVID)


@dataclass
class Delivery:
    """What the server said of one mail. `final` is None when DATA was not sent, because of `refused` or `stopped`."""

    accepted: list[str] = field(default_factory=list)
    refused: dict[str, Reply] = field(default_factory=dict)
    final: Reply | None = None
    stopped: bool = False  # before_data said no: nothing was sent


@dataclass(frozen=True, eq=False)
class Mail:
    envelope: Envelope
    content: bytes
    may_go_unasked: bool = False  # it has one recipient, whom no server has refused so far: see smtp_one_trip


class Beside:
    """What a sender does beside one mail. Whatever is raised in here leaves the session in the middle of something."""

    def asked(self) -> None:
        """MAIL and RCPT are sent, and their answers are not read yet."""

    def kept_waiting(self) -> Steps[None]:
        """The answers to MAIL and RCPT take longer than GRACE_SECONDS. Called once a mail at most."""
        yield from ()

    def before_data(self, delivery: Delivery) -> Steps[bool]:
        """Commit "data"; False when the mail must be left."""
        yield from ()
        return True

    def given(self) -> Mail | None:
        """The whole mail is with the server, and the answer is not read yet. The next one, if there is to be one: its
        MAIL and RCPT are said as soon as the answer is yes, and `deliver` for it goes on from there. Must not raise."""
        return None


class MailConversation(Conversation):
    def __init__(self, endpoint: Endpoint, patience: Patience, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._extensions: dict[str, str] = {}  # EHLO keyword, lower case -> its parameters
        self._next: tuple[Mail, list[str]] | None = None  # with what is to be said of it first
        self._envelope_seconds = 0.0  # which the answers to the last MAIL and RCPT took
        self._said_of: Mail | None = None  # its first group is with the server, and no answer to it is read
        self._says_plainly = False  # without asking for reports
        self._blamed: set[str] = set()  # addresses (of MAIL: "") whose refusal may mean what was asked of reports

    def deliver(self, mail: Mail, beside: Beside) -> Steps[Delivery]:
        """Send one mail.

        Raises SmtpFailure. A refused recipient is no failure but part of the answer. `is_open` then says whether the
        session can carry another mail: after a lost or late answer it cannot, since what arrives next would be taken
        for the answer to the next mail.
        """
        delivery = Delivery()
        try:
            yield from self._send_envelope_once_more_plainly(mail, delivery, beside)
            if not delivery.accepted:
                yield from self._reset()
                return delivery
            yield from self._check_in_step()
            if not (yield from beside.before_data(delivery)):
                delivery.stopped = True
                yield from self._reset()
                return delivery
            delivery.final = yield from self._data(mail.content, beside)
        except SmtpFailure as failure:
            failure.refused = delivery.refused
            if failure.fault.kind in (Kind.REPLY, Kind.LOCAL) and failure.fault.code != 421:
                yield from self._reset()
            else:
                self.drop()
            raise
        yield from self._say_ahead()
        self._enter(Phase.ACCEPTED)
        return delivery

    def _look_ahead(self, following: Mail | None) -> None:
        self._next = None
        if following is not None:
            with contextlib.suppress(SmtpFailure):  # it is told when it is that mail's turn
                self._next = following, self._groups(following)[0]

    def _say_ahead(self) -> Steps[None]:
        """What is wrong with the connection is found when the answer is read; a word behind the answer to this mail,
        before the next one is said."""
        if self._next is not None:
            (mail, lines), self._next = self._next, None
            if self._connected().has_unread():
                return
            self._said_of = mail
            with contextlib.suppress(SmtpFailure):
                yield from self._say(*lines)

    def _groups(self, mail: Mail) -> list[list[str]]:
        """The commands before DATA, those together that go in one packet."""
        envelope = mail.envelope
        asks = self._asks_for_reports()
        groups = [[f"MAIL FROM:<{envelope.mail_from}>{self._parameters(envelope, mail.content)}"]]
        groups[0][0] += dsn.of_mail(envelope.envelope_id) if asks else ""
        for address in envelope.rcpt_to:
            if "pipelining" not in self._extensions or len(groups[-1]) > RECIPIENTS_AT_ONCE:
                groups.append([])
            groups[-1].append(f"RCPT TO:<{address}>{dsn.of_recipient(address) if asks else ''}")
        return groups

    def _asks_for_reports(self) -> bool:
        return "dsn" in self._extensions and not self._says_plainly and dsn.is_taken_by(self._endpoint)

    def _send_envelope_once_more_plainly(self, mail: Mail, delivery: Delivery, beside: Beside) -> Steps[None]:
        """What is asked of reports must cost no mail: when it may be what was refused, say the envelope without it."""
        self._blamed.clear()
        try:
            yield from self._send_envelope(mail, delivery, beside)
        except SmtpFailure as failure:
            if not self._blamed or failure.fault.kind is not Kind.REPLY or failure.fault.code == 421:
                raise
        if self._blamed:
            yield from self._reset()
            delivery.accepted.clear()
            delivery.refused.clear()
            self._says_plainly = True
            try:
                yield from self._send_envelope(mail, delivery, beside)
            finally:
                self._says_plainly = False
            if delivery.accepted and not self._blamed & delivery.refused.keys():
                dsn.do_without(self._endpoint)

    def _send_envelope(self, mail: Mail, delivery: Delivery, beside: Beside) -> Steps[None]:
        said_of, self._said_of = self._said_of, None
        if said_of not in (None, mail):  # another one was begun, whose answers would be taken for this one's
            self.drop()
        self._enter(Phase.MAIL)
        if said_of is None:
            yield from self._check_nothing_said()
        groups, began = self._groups(mail), time.monotonic()
        grace, waits = began + GRACE_SECONDS, iter([beside.kept_waiting])
        for group in groups:
            if group is not groups[0] or said_of is not mail:
                yield from self._say(*group)
            if group is groups[0]:
                beside.asked()
            yield from self._hear_group(group, mail.envelope, delivery, grace, waits)
        self._envelope_seconds = time.monotonic() - began

    def _hear_group(
        self,
        group: Sequence[str],
        envelope: Envelope,
        delivery: Delivery,
        grace: float,
        waits: Iterator[Callable[[], Steps[None]]],
    ) -> Steps[None]:
        """Read every answer of a group before judging: what is left unread would be taken for another's."""
        refusal: SmtpFailure | None = None
        for line in group:
            is_mail = line.startswith("MAIL")
            if not is_mail and self._phase is not Phase.RCPT:
                self._enter(Phase.RCPT)
            is_there = yield from self._connected().has_line(grace)
            if not is_there and (kept_waiting := next(waits, None)):
                yield from kept_waiting()
            try:
                reply = yield from self._answer_to(line)
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
        address = "" if is_mail else envelope.rcpt_to[len(delivery.accepted) + len(delivery.refused)]
        if self._asks_for_reports() and dsn.may_be_about_it(reply):
            self._blamed.add(address)
        if is_mail:
            self._expect("MAIL", reply, 250)
            return
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

    def _data(self, content: bytes, beside: Beside) -> Steps[Reply]:
        self._phase = Phase.DATA  # from here on, silence is uncertainty
        if self._in_one_go(content):
            return (yield from self._bdat(content, beside))
        self._expect("DATA", (yield from self._command("DATA")), 354)
        yield from self._check_in_step()
        yield from self._transfer(dot_stuffed(content) + b".\r\n")
        self._look_ahead(beside.given())
        return (yield from self._final("(end of mail)", (yield from self._read(self._patience.final_dot))))

    def _in_one_go(self, content: bytes) -> bool:
        """Without asking first whether the server wants it. A large mail does ask: it may be refused there."""
        offered = "chunking" in self._extensions and (self._endpoint.host, self._endpoint.port) not in _without_bdat
        return offered and len(content) <= CHUNK

    def _bdat(self, content: bytes, beside: Beside) -> Steps[Reply]:
        """The whole mail as one chunk that is the last (RFC 3030): its answer is that to the final dot."""
        lines = with_crlf(content)
        command = f"BDAT {len(lines)} LAST"
        yield from self._transfer(f"{command}\r\n".encode() + lines)
        self._look_ahead(beside.given())
        try:
            return (yield from self._final(command, (yield from self._read(self._patience.final_dot))))
        except SmtpFailure as failure:
            if failure.fault.code not in NOT_KNOWN:
                raise
            # It was offered, perhaps by something between us and the server: the mail was read as commands, if at all.
            self._do_without_bdat()
            raise SmtpFailure(replace(failure.fault, kind=Kind.UNKNOWN)) from None

    def _do_without_bdat(self) -> None:
        _without_bdat.add((self._endpoint.host, self._endpoint.port))

    def _final(self, command: str, reply: Reply) -> Steps[Reply]:
        self._note(command, reply)
        if 200 <= reply.code < 300:
            return reply
        if (yield from self._is_contradicted()):
            raise self._failure(Kind.PROTOCOL, f"The server refused the mail and said yes behind it: {reply}")
        raise self._refusal(reply)

    def _transfer(self, octets: bytes) -> Steps[None]:
        wire = self._connected()
        try:
            for chunk in chunks(octets):
                yield from wire.send(chunk, self._left())
                self._watch.waiting()
        except (Lost, OSError) as error:
            # A server that has had enough may have said so before it closed; then nothing was taken for certain.
            if (said := (yield from wire.last_words())) and said.code >= 400:
                self._note("(body)", said)
                raise self._refusal(said) from error
            raise self._failure(Kind.NETWORK, f"The connection was lost while the mail was sent: {error}") from error

    def _reset(self) -> Steps[None]:
        """RSET, so that the next mail starts afresh; a session that does not take it is closed."""
        try:
            is_clean = (yield from self._command("RSET")).code == 250
        except SmtpFailure:
            is_clean = False
        if not is_clean:
            self.drop()
