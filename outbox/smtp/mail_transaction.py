"""One mail transaction on an open session (RFC 5321, 3.3): envelope, DATA, content, answer. No models, no queries.

With PIPELINING (RFC 2920) a mail takes two round trips: MAIL, RCPT and DATA in one write, then the content. The sender
works while the server answers: see MailHooks. Nothing is sent after the end of a mail before its answer: Dovecot's
submission server, at least up to 2.3, crashes when MAIL follows the end in one packet, after it has taken the mail and
before it answers.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace

from mailbox.endpoints import Endpoint
from outbox.retry.faults import Fault, Kind, Phase
from outbox.smtp import dsn
from outbox.smtp.connection import SmtpFailure, SmtpTimeouts, Watch
from outbox.smtp.in_step import DATA, InStep
from outbox.smtp.mail import Delivery, Envelope, Mail, MailHooks
from outbox.smtp.mail_parameters import CannotGo, mail_parameters
from outbox.smtp.replies import Reply
from outbox.smtp.transport import Late

GRACE_SECONDS = 0.005
RECIPIENTS_AT_ONCE = 100  # commands in one group, so that their replies fit into any socket buffer
# (host, port) of servers that offer PIPELINING and did not answer all of several commands, as this process has seen:
# the next session says one after the other. A server that was just slow loses round trips by that, and no mail.
one_by_one: set[tuple[str, int]] = set()
Groups = list[list[str]]  # the commands of an envelope; those of a group are sent by one write
SAID_MORE = "The server refused every recipient and said more than it was asked."


class MailTransaction(InStep):
    """Mail transactions on an open session, one after the other; the base class of SmtpSession."""

    def __init__(self, endpoint: Endpoint, patience: SmtpTimeouts, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._next: tuple[Mail, Groups] | None = None  # the next mail, and its commands
        self._said: tuple[Mail, Groups] | None = None  # the same once its first group was sent, and no answer was read
        self._says_plainly = False  # send the envelope without DSN parameters
        self._blamed: set[str] = set()  # addresses ("" for MAIL) whose refusal may be about the DSN parameters

    async def deliver(self, mail: Mail, hooks: MailHooks) -> Delivery:
        """Send one mail. Refused recipients are in the result.

        Raises SmtpFailure. Afterwards `is_open` says whether the session can be used for another mail: not after a lost
        or late answer, which would be taken for the answer to the next mail.
        """
        delivery = Delivery()
        self._waits = iter([hooks.kept_waiting])
        self._forms = [*self._forms, *mail.secrets]
        if self._said is None:
            self._asked, self._heard = [], []
        try:
            await self._send_envelope_once_more_plainly(mail, delivery)
            if not delivery.accepted:
                await self._end_without_recipients(delivery)
                await self._reset_in_step()
                return delivery
            assert self._is_inside_mail  # otherwise the server would read the content as commands
            delivery.final = await self._write_mail(mail.content, delivery, hooks)
            if delivery.final is None:
                delivery.stopped, delivery.surplus = (
                    True,
                    await self.leave(),
                )  # only closing ends a mail without its end
                return delivery
        except SmtpFailure as failure:
            failure.refused = delivery.refused
            await self._leave(failure)
            raise
        await self._say_ahead()
        await self._enter(Phase.ACCEPTED)
        return delivery

    async def _leave(self, failure: SmtpFailure) -> None:
        """After a refusal: keep the session for the next mail if its replies are in step, else close it."""
        is_answered = failure.fault.kind in (Kind.REPLY, Kind.LOCAL) and failure.fault.code != 421
        if self._is_inside_mail or not is_answered:
            self.drop()
            return
        if not self._asked:  # the failure was found before any command of this mail
            return
        surplus = await (self._begin_afresh() if failure.took_nothing else self._reset())
        if surplus:  # one of the replies was the answer to this mail, and we cannot know which
            failure.fault = replace(failure.fault, kind=Kind.PROTOCOL)
        if failure.took_nothing:
            failure.surplus = surplus

    async def _end_without_recipients(self, delivery: Delivery) -> None:
        """End the mail with a single dot when all recipients were refused and DATA was answered by 354 all the same
        (RFC 2920 3.1)."""
        if not self._is_inside_mail:
            return
        self._look()
        if self._connected().has_unread():
            raise self._out_of_step(SAID_MORE, self._unasked_words(await self.leave()))
        try:
            await self._say(".")
            await self._answer_to("(no mail, as every recipient was refused)")
        except SmtpFailure:
            self.drop()  # the refusals are known already
        self._is_inside_mail = False

    async def _reset_in_step(self) -> None:
        """RSET after all recipients were refused. After an unsolicited reply, the refusals may answer earlier commands:
        then SmtpFailure is raised."""
        if surplus := await self._begin_afresh():
            self.drop()
            raise self._out_of_step(SAID_MORE, surplus)

    def _look_ahead(self, following: Mail | None) -> None:
        self._next = None
        if following is not None:
            with contextlib.suppress(SmtpFailure):  # found again when it is that mail's turn
                self._next = following, self._groups(following)

    def say_nothing_ahead(self) -> None:
        """Do not send the next mail's envelope ahead: its row was returned."""
        self._next = None

    async def _say_ahead(self) -> None:
        """Send the next mail's first group right after this mail was accepted, unless an unsolicited reply is there.
        Errors of the connection are found when the answers are read."""
        if self._next is not None:
            said, self._next = self._next, None
            if self._connected().has_unread():
                return
            _mail, (lines, *_others) = said
            self._said, self._asked, self._heard = said, [*lines], []
            with contextlib.suppress(SmtpFailure):
                await self._say(*lines)

    def _groups(self, mail: Mail) -> Groups:
        """The commands up to DATA."""
        envelope = mail.envelope
        asks = self._asks_for_reports()
        first = f"MAIL FROM:<{envelope.mail_from}>{self._parameters(mail)}"
        groups = [[first + (dsn.of_mail(envelope.envelope_id, envelope.dsn_parameters) if asks else "")]]
        for line in (*(f"RCPT TO:<{each}>{self._asked_of(each, envelope)}" for each in envelope.rcpt_to), DATA):
            if "pipelining" not in self._extensions or len(groups[-1]) > RECIPIENTS_AT_ONCE:
                groups.append([])
            groups[-1].append(line)
        return groups

    def _asked_of(self, address: str, envelope: Envelope) -> str:
        """The parameters of RCPT."""
        is_asked = self._asks_for_reports() and dsn.is_taken(self._endpoint, address)
        return dsn.of_recipient(address, envelope.dsn_parameters_of.get(address, "")) if is_asked else ""

    def _asks_for_reports(self) -> bool:
        return "dsn" in self._extensions and not self._says_plainly and dsn.is_taken(self._endpoint)

    async def _send_envelope_once_more_plainly(self, mail: Mail, delivery: Delivery) -> None:
        """Send the envelope, and send it again without DSN parameters if these may be why it was refused."""
        self._blamed.clear()
        try:
            await self._send_envelope(mail, delivery)
        except SmtpFailure as failure:
            if not self._blamed or failure.fault.kind is not Kind.REPLY or failure.fault.code == 421:
                raise
        if self._blamed:
            await self._leave_to_speak_plainly(delivery)
            if surplus := await self._reset():
                raise self._out_of_step("The server said more than it was asked.", surplus)
            delivery.accepted.clear()
            delivery.refused.clear()
            self._says_plainly = True
            try:
                await self._send_envelope(mail, delivery)
            finally:
                self._says_plainly = False
            if delivery.accepted and not self._blamed & delivery.refused.keys():
                dsn.do_without(self._endpoint)

    async def _leave_to_speak_plainly(self, delivery: Delivery) -> None:
        """Close the session, since the server waits for content that not all recipients would get: the mail is sent
        again on a new session, without DSN parameters."""
        if self._is_inside_mail and delivery.accepted:
            dsn.do_without(self._endpoint, self._blamed)
            self.drop()
            words = "; ".join(str(delivery.refused[each]) for each in self._blamed if each in delivery.refused)
            raise SmtpFailure(Fault(Phase.RCPT, Kind.UNKNOWN, words))
        await self._end_without_recipients(delivery)

    async def _send_envelope(self, mail: Mail, delivery: Delivery) -> None:
        said, self._said = self._said, None
        await self._enter(Phase.MAIL)  # failures from here on concern this mail and not the one before
        if said and said[0] is not mail:  # the answers to another mail's envelope would be taken for this one's
            failure = self._failure(Kind.NETWORK, "Another mail was begun on this connection.")
            failure.surplus = await self.leave()
            raise failure
        self._is_inside_mail = False
        if not said:
            await self._check_nothing_said()
        # As they were sent: another session may have learned meanwhile that the server refuses DSN.
        groups = said[1] if said else self._groups(mail)
        grace = time.monotonic() + GRACE_SECONDS
        for group in groups:
            if group == [DATA]:  # in a group of its own, so the answers for the recipients are known
                if not delivery.accepted or (self._blamed and not self._says_plainly):
                    return
                await self._check_in_step()
            if group is not groups[0] or not said:
                self._asked.extend(group)
                await self._say(*group)
            await self._hear_group(group, mail.envelope, delivery, grace)

    async def _hear_group(self, group: Sequence[str], envelope: Envelope, delivery: Delivery, grace: float) -> None:
        """Read all answers of a group before any is judged: an unread one would be taken for the next mail's."""
        refusal: SmtpFailure | None = None
        for line in group:
            await self._enter_of(line)
            if not await self._connected().has_line(grace):
                await self._kept_waiting()
            try:
                reply = await self._answer_to(line)
            except SmtpFailure as lost:
                if line is not group[0] and isinstance(lost.__cause__, Late):
                    one_by_one.add((self._endpoint.host, self._endpoint.port))
                if line == DATA and delivery.refused and not (delivery.accepted or refusal):
                    self.drop()
                    return
                # The connection was lost after a refusal: the refusal is the reason.
                raise refusal or lost from lost
            self._hear(line, reply)
            if refusal is None:
                refusal = self._refused(line, reply, envelope, delivery)
                if refusal and reply.code == 421:  # the server closes the connection
                    break
        if not self._is_in_step():
            words = "; ".join(str(each) for each in self._heard)
            raise self._out_of_step(f"The answers do not belong together: {words}", self._unasked_words())
        if refusal is not None:
            raise refusal

    def _refused(self, line: str, reply: Reply, envelope: Envelope, delivery: Delivery) -> SmtpFailure | None:
        try:
            self._judge(line, reply, envelope, delivery)
        except SmtpFailure as failure:
            return failure
        return None

    async def _enter_of(self, line: str) -> None:
        phase = Phase.MAIL if line.startswith("MAIL") else Phase.DATA if line == DATA else Phase.RCPT
        if self._phase is not phase:
            await self._enter(phase)

    def _judge(self, line: str, reply: Reply, envelope: Envelope, delivery: Delivery) -> None:
        if line == DATA:
            self._judge_data(reply, delivery)
            return
        is_mail = line.startswith("MAIL")
        address = "" if is_mail else envelope.rcpt_to[len(delivery.accepted) + len(delivery.refused)]
        if dsn.is_asked_in(line) and dsn.may_be_about_it(reply):
            self._blamed.add(address)
        if is_mail:
            self._expect("MAIL", reply, 250)
            return
        if reply.code in (250, 251, 252):
            delivery.accepted.append(address)
        elif reply.code == 421:  # the server closes; it says nothing about the recipient
            self._expect("RCPT", reply, 250)
        elif reply.code >= 400:
            delivery.refused[address] = reply
        else:
            raise self._failure(Kind.PROTOCOL, str(reply))

    def _judge_data(self, reply: Reply, delivery: Delivery) -> None:
        if delivery.accepted:
            self._expect(DATA, reply, 354)
        if reply.code == 421:
            self.drop()

    def _parameters(self, mail: Mail) -> str:
        try:
            return mail_parameters(mail, self._extensions)
        except CannotGo as reason:
            raise self._failure(Kind.LOCAL, str(reason)) from reason
