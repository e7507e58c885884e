"""A mail in one round trip: the whole mail as one chunk behind MAIL and RCPT, whose answers are not waited for.

PIPELINING (RFC 2920) and CHUNKING (RFC 3030) allow it; a server that refuses the sender or the recipient reads the
chunk and throws it away. "data" is committed before any octet of the mail. The server works on MAIL and RCPT meanwhile;
where other sessions share the thread, so that waiting costs nothing, all goes in one write behind the commit. As that
comes before their answers, it is done only where the server is known to answer quickly and to know BDAT: from a
session's second mail on, for a mail of one recipient whom no server refused before. All else: `mail_transaction`.

What the answers mean is decided in `meaning`: a refusal counts only if the chunk was refused with it, or not given.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from outbox.eventloop.coroutines import Alone, Steps
from outbox.retry.faults import Fault, Kind, Phase
from outbox.smtp import dsn
from outbox.smtp.connection import SmtpFailure, octets
from outbox.smtp.content import NOT_KNOWN
from outbox.smtp.mail import Beside, Delivery, Mail
from outbox.smtp.mail_transaction import MailConversation
from outbox.smtp.octets import with_crlf
from outbox.smtp.replies import Reply
from outbox.smtp.transport import Lost

SLOW_SECONDS = 1.0  # for the answers to MAIL and RCPT: such a server is asked before "data" is committed
PHASES = (Phase.MAIL, Phase.RCPT, Phase.DOT)
YES = ((250,), (250, 251, 252))  # to MAIL, to RCPT
# As much as has arrived of such answers, and nothing behind them.
GO_ON = re.compile(rb"(?:(?:250-[^\n]*\n)*250 [^\n]*\n(?:(?:25[012]-[^\n]*\n)*25[012] [^\n]*\n)?)?")


def are_yes(codes: Sequence[int]) -> bool:
    """Whether the answers that came to MAIL, or to MAIL and RCPT, all say go on."""
    return all(code in yes for code, yes in zip(codes, YES, strict=False))


class Meaning(Enum):
    TAKEN = auto()
    SENDER_REFUSED = auto()
    RECIPIENT_REFUSED = auto()
    MAIL_REFUSED = auto()
    NOT_KNOWN = auto()  # it does not know BDAT after all
    UNKNOWN = auto()


def meaning(codes: Sequence[int]) -> Meaning:
    """What the codes of the answers to MAIL, RCPT and BDAT mean together; fewer than three: then the connection ended,
    or the chunk was not given.

    A refusal of sender or recipient counts when the chunk was refused too, or nothing came after it. Beside a chunk
    that was taken it belongs to something else (a word that nobody asked for moves every answer by one), and the mail
    may be there.
    """
    if len(codes) == 3 and are_yes(codes[:2]):
        if 200 <= codes[2] < 300:
            return Meaning.TAKEN
        if codes[2] in NOT_KNOWN:
            return Meaning.NOT_KNOWN
        return Meaning.MAIL_REFUSED if codes[2] >= 400 else Meaning.UNKNOWN
    if len(codes) == 3 and codes[2] < 400:
        return Meaning.UNKNOWN
    if codes and codes[0] >= 400:
        return Meaning.SENDER_REFUSED
    if len(codes) > 1 and codes[0] == 250 and codes[1] >= 400:
        return Meaning.RECIPIENT_REFUSED
    return Meaning.UNKNOWN


@dataclass(frozen=True, slots=True)
class Written:
    """One mail as it is written: what is shown of each command, the octets of MAIL and RCPT, and those of the rest."""

    mail: Mail
    commands: tuple[str, str, str]
    envelope: bytes
    chunk: bytes


class OneTripConversation(MailConversation):
    """Mails by mail_transaction, and those in one round trip that may."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._knows_bdat = False  # a chunk of this session was taken
        self._has_refused = False  # a mail that it was not asked about: from then on it is asked first
        self._written: Written | None = None  # of the mail that comes next

    def deliver(self, mail: Mail, beside: Beside) -> Steps[Delivery]:
        """As mail_transaction's, and in one round trip where the mail suits."""
        if self._suits(mail) and self._said_of is None:
            return (yield from self._deliver_in_one(mail, beside))
        delivery = yield from super().deliver(mail, beside)
        return delivery

    def _suits(self, mail: Mail) -> bool:
        is_quick = self._envelope_seconds < SLOW_SECONDS
        if not (self._knows_bdat and is_quick and mail.may_go_unasked and "pipelining" in self._extensions):
            return False
        # A server that refuses the recipient and then reads the chunk as commands would obey these.
        return not self._has_refused and self._in_one_go(mail.content) and b"mail from:" not in mail.content.lower()

    def _say_ahead(self) -> Steps[None]:
        if self._next is not None and self._suits(self._next[0]):
            self._next = None
        yield from super()._say_ahead()

    def _look_ahead(self, following: Mail | None) -> None:
        super()._look_ahead(following)
        self._written = self._octets_of(following, self._next[1]) if following and self._next else None

    def _octets_of(self, mail: Mail, group: Sequence[str]) -> Written | None:
        if len(group) != 2 or not self._in_one_go(mail.content):
            return None
        content = with_crlf(mail.content)
        chunk = f"BDAT {len(content)} LAST"
        return Written(mail, (group[0], group[1], chunk), octets(group), octets([chunk]) + content)

    def _bdat(self, content: bytes, beside: Beside) -> Steps[Reply]:
        reply = yield from super()._bdat(content, beside)
        self._knows_bdat = True
        return reply

    # --- In one round trip --------------------------------------------------------------------------------------
    def _deliver_in_one(self, mail: Mail, beside: Beside) -> Steps[Delivery]:
        delivery, replies = Delivery(), list[Reply]()
        try:
            self._enter(Phase.MAIL)
            written = self._ready(mail)
            yield from self._check_nothing_said()
            is_alone: bool = yield Alone()
            if is_alone:
                yield from self._send(written.envelope)
            if not (yield from beside.before_data(delivery)):
                self.drop()  # what answers MAIL and RCPT would be taken for another's
                delivery.stopped = True
                return delivery
            began = time.monotonic()
            yield from self._hear_meanwhile(written, replies, is_asked=is_alone)
            if are_yes([reply.code for reply in replies]):
                rest = written.chunk if is_alone else written.envelope + written.chunk
                yield from self._give_and_hear(written, rest, replies, delivery, beside, began)
            else:
                self._judge_refusal(written.mail, replies, delivery)
        except SmtpFailure as failure:
            failure.refused = delivery.refused
            yield from self._leave(failure)
            raise
        if delivery.final is None:
            yield from self._reset_in_step(delivery)
            return delivery
        yield from self._say_ahead()
        self._enter(Phase.ACCEPTED)
        return delivery

    def _ready(self, mail: Mail) -> Written:
        written, self._written = self._written, None
        if written is None or written.mail is not mail:
            written = self._octets_of(mail, self._groups(mail)[0])
        assert written is not None  # it suits
        return written

    def _hear_meanwhile(self, written: Written, replies: list[Reply], *, is_asked: bool) -> Steps[None]:
        """What was answered to MAIL and RCPT while "data" was committed, unless it says go on: that is read beside the
        next wait. Of a refusal, all of it. Whatever goes wrong in here, the server has nothing of the mail.
        """
        self._look()
        if not is_asked:
            yield from self._check_in_step()
        if self._connected().has_only(GO_ON):
            if self._ended_by:
                raise self._told(self._ended_by)
            return
        while len(replies) < len(YES) and self._connected().has_unread():
            yield from self._hear_next(written, replies, self._left())
        if not are_yes([reply.code for reply in replies]) and replies[-1].code != 421:
            while len(replies) < len(YES):
                yield from self._hear_next(written, replies, self._left())
        if len(replies) == len(YES):
            yield from self._check_in_step()

    def _hear_next(self, written: Written, replies: list[Reply], seconds: float) -> Steps[None]:
        index = len(replies)
        reply = yield from self._read(seconds)
        replies.append(reply)
        self._watch.heard(PHASES[index], self._clean(written.commands[index]), str(reply))

    def _give_and_hear(
        self, written: Written, rest: bytes, replies: list[Reply], delivery: Delivery, beside: Beside, began: float
    ) -> Steps[None]:
        until = time.monotonic() + self._patience.final_dot
        lost: SmtpFailure | None = None
        self._enter(Phase.DOT)  # from here on, silence is uncertainty
        try:
            yield from self._connected().send(rest, self._left())
        except (Lost, OSError) as error:
            # The server lacks at least the last octet of the chunk. It may have said why before it closed, or be there
            # still with only our way to it broken.
            self._enter(Phase.DATA)
            lost, until = self._told(error), time.monotonic() + 1
        self._look_ahead(beside.given())
        self._envelope_seconds = 0.0
        try:
            while len(replies) < len(PHASES):
                yield from self._hear_next(written, replies, max(0.05, until - time.monotonic()))
                if len(replies) == len(YES):
                    self._envelope_seconds = time.monotonic() - began
        except SmtpFailure as failure:
            lost = lost or failure
        if len(replies) == len(PHASES) and not lost:
            yield from self._check_last(replies[-1])
        if lost:
            self.drop()
        self._judge_all(written.mail, replies, lost, delivery)

    def _check_last(self, reply: Reply) -> Steps[None]:
        if reply.code < 400:
            yield from self._check_nothing_behind(reply)
        elif (yield from self._is_contradicted()):
            raise self._failure(Kind.PROTOCOL, f"The server refused the mail and said yes behind it: {reply}")

    def _judge_all(self, mail: Mail, replies: list[Reply], lost: SmtpFailure | None, delivery: Delivery) -> None:
        (address,) = mail.envelope.rcpt_to
        found = meaning([reply.code for reply in replies])
        self._has_refused = self._has_refused or found is not Meaning.TAKEN
        if found is Meaning.TAKEN and not lost:
            delivery.accepted.append(address)
            delivery.final = replies[-1]
            return
        if found is Meaning.MAIL_REFUSED:
            raise self._refusal(replies[-1])
        if found is Meaning.NOT_KNOWN:
            self._do_without_bdat()
            raise SmtpFailure(Fault(Phase.DATA, Kind.UNKNOWN, str(replies[-1]), replies[-1].code))
        if found in (Meaning.SENDER_REFUSED, Meaning.RECIPIENT_REFUSED):
            self._judge_refusal(mail, replies, delivery)
            return
        told = "; ".join(map(str, replies))
        raise lost or self._failure(Kind.PROTOCOL, f"The server's answers do not belong together: {told}")

    def _judge_refusal(self, mail: Mail, replies: list[Reply], delivery: Delivery) -> None:
        """Nothing of the mail was taken: MAIL or RCPT was refused."""
        self._has_refused = True
        found = meaning([reply.code for reply in replies])
        if found is Meaning.UNKNOWN:
            words = f"The server answered what is no answer to MAIL or RCPT: {'; '.join(map(str, replies))}"
            self.drop()
            raise self._failure(Kind.PROTOCOL, words)
        phase = Phase.MAIL if found is Meaning.SENDER_REFUSED else Phase.RCPT
        reply = replies[PHASES.index(phase)]
        if self._asks_for_reports() and dsn.may_be_about_it(reply):
            dsn.do_without(self._endpoint)  # and the mail goes in a fresh session
            self.drop()
            raise SmtpFailure(Fault(phase, Kind.UNKNOWN, str(reply), reply.code))
        if phase is Phase.MAIL or reply.code == 421:  # 421 is no word on the recipient
            raise SmtpFailure(Fault(phase, Kind.REPLY, str(reply), reply.code))
        self._enter(Phase.RCPT)
        (address,) = mail.envelope.rcpt_to
        delivery.refused[address] = reply
