"""One mail transaction on an open session (RFC 5321, 3.3): envelope, DATA, content, answer. No models, no queries.

With PIPELINING (RFC 2920) a mail takes two round trips: MAIL, RCPT and DATA in one write, then the content. The sender
works while the server answers: see Watch. Nothing is sent after the end of a mail before its answer: Dovecot's
submission server, at least up to 2.3, crashes when MAIL follows the end in one packet, after it has taken the mail and
before it answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from mailbox.endpoints import Endpoint
from outbox.retry.faults import Fault, Kind, Phase
from outbox.smtp import dsn
from outbox.smtp.connection import SmtpFailure, SmtpTimeouts
from outbox.smtp.data_phase import DataPhase
from outbox.smtp.in_step import DATA, YES, belong_together
from outbox.smtp.mail import Delivery, Mail, Watch
from outbox.smtp.replies import Reply
from outbox.smtp.transport import Late

GRACE_SECONDS = 0.005
LONGEST_LINE = 998  # bytes without CRLF (RFC 5321 4.5.3.1.6)
RECIPIENTS_AT_ONCE = 100  # commands in one group, so that their replies fit into any socket buffer
# (host, port) of servers that offer PIPELINING and did not answer all of several commands, as this process has seen:
# the next session says one after the other. A server that was just slow loses round trips by that, and no mail.
one_by_one: set[tuple[str, int]] = set()
Groups = list[list[str]]  # the commands of an envelope; those of a group are sent by one write
SAID_MORE = "The server refused every recipient and said more than it was asked."


class MailTransaction(DataPhase):
    """Mail transactions on an open session, one after the other; the base class of SmtpSession."""

    def __init__(self, endpoint: Endpoint, patience: SmtpTimeouts, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._says_plainly = False  # send the envelope without DSN parameters
        self._blamed: set[str] = set()  # addresses ("" for MAIL) whose refusal may be about the DSN parameters

    async def deliver(self, mail: Mail, watch: Watch) -> Delivery:
        """Send one mail. Refused recipients are in the result.

        Raises SmtpFailure. Afterwards `is_open` says whether the session can be used for another mail: not after a lost
        or late answer, which would be taken for the answer to the next mail.
        """
        if watch is not self._watch:  # opening the session counts for the time of its first mail
            self._watch, self._deadline = watch, time.monotonic() + self._patience.session
        delivery = Delivery()
        self._forms = [*self._forms, *mail.secrets]
        self._asked, self._heard = [], []
        try:
            await self._send_envelope_once_more_plainly(mail, delivery)
            if not delivery.accepted:
                await self._end_without_recipients()
                if surplus := await self._begin_afresh():  # the refusals may answer earlier commands
                    raise self._failure(Kind.PROTOCOL, SAID_MORE, surplus)
                return delivery
            assert self._is_inside_mail  # otherwise the server would read the content as commands
            await self._write_mail(mail.content, delivery)
            await watch.after_dot()
            delivery.final = await self._final()
        except SmtpFailure as failure:
            failure.refused = delivery.refused
            await self._after_failure(failure)
            raise
        await self._enter(Phase.ACCEPTED)
        return delivery

    async def _after_failure(self, failure: SmtpFailure) -> None:
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

    async def _end_without_recipients(self) -> None:
        """End the mail with a single dot when all recipients were refused and DATA was answered by 354 all the same
        (RFC 2920 3.1)."""
        if not self._is_inside_mail:
            return
        if self._look():
            raise self._failure(Kind.PROTOCOL, SAID_MORE, self._suspects(await self._surplus()))
        try:
            await self._say(".")
            await self._answer_to("(no mail, as every recipient was refused)")
        except SmtpFailure:
            self.drop()  # the refusals are known already
        self._is_inside_mail = False

    def _groups(self, mail: Mail) -> Groups:
        """The commands up to DATA."""
        asked = dsn.of_mail(mail.envelope_id, mail.dsn_parameters) if self._asks_for_reports() else ""
        groups = [[f"MAIL FROM:<{mail.mail_from}>{self._parameters(mail)}{asked}"]]
        for line in (*(f"RCPT TO:<{each}>{self._asked_of(each, mail)}" for each in mail.rcpt_to), DATA):
            if "pipelining" not in self._extensions or len(groups[-1]) > RECIPIENTS_AT_ONCE:
                groups.append([])
            groups[-1].append(line)
        return groups

    def _asked_of(self, address: str, mail: Mail) -> str:
        """The parameters of RCPT."""
        is_asked = self._asks_for_reports() and dsn.is_taken(self._endpoint, address)
        return dsn.of_recipient(address, mail.dsn_parameters_of.get(address, "")) if is_asked else ""

    def _asks_for_reports(self) -> bool:
        return "dsn" in self._extensions and not self._says_plainly and dsn.is_taken(self._endpoint)

    async def _send_envelope_once_more_plainly(self, mail: Mail, delivery: Delivery) -> None:
        """Send the envelope, and send it again without DSN parameters if these may be why it was refused.

        The session is closed where the server does not let it be sent again: then it is sent on a new one.
        """
        self._blamed.clear()
        try:
            await self._send_envelope(mail, delivery)
        except SmtpFailure as failure:
            if not self._blamed or failure.fault.kind is not Kind.REPLY or failure.fault.code == 421:
                raise
        if not self._blamed:
            return
        if self._is_inside_mail and delivery.accepted:
            # The server waits for content that not all recipients would get: only closing ends that.
            dsn.do_without(self._endpoint, self._blamed)
            words = "; ".join(str(delivery.refused[each]) for each in self._blamed if each in delivery.refused)
            raise SmtpFailure(Fault(Phase.RCPT, Kind.UNKNOWN, words))
        await self._end_without_recipients()
        if surplus := await self._reset():
            raise self._failure(Kind.PROTOCOL, "The server said more than it was asked.", surplus)
        delivery.accepted.clear()
        delivery.refused.clear()
        self._says_plainly = True
        try:
            await self._send_envelope(mail, delivery)
        finally:
            self._says_plainly = False
        if delivery.accepted and not self._blamed & delivery.refused.keys():
            dsn.do_without(self._endpoint)

    async def _send_envelope(self, mail: Mail, delivery: Delivery) -> None:
        await self._enter(Phase.MAIL)  # failures from here on concern this mail and not the one before
        self._is_inside_mail = False
        await self._check_nothing_said()
        grace = time.monotonic() + GRACE_SECONDS
        for group in self._groups(mail):
            if group == [DATA]:  # in a group of its own, so the answers for the recipients are known
                if not delivery.accepted or (self._blamed and not self._says_plainly):
                    return
                await self._check_nothing_said()
            self._asked.extend(group)
            await self._say(*group)
            await self._hear_group(group, mail, delivery, grace)

    async def _hear_group(self, group: Sequence[str], mail: Mail, delivery: Delivery, grace: float) -> None:
        """Read all answers of a group before any is judged: an unread one would be taken for the next mail's."""
        refusal: SmtpFailure | None = None
        for line in group:
            if self._phase is not (phase := Phase(line[:4].lower())):
                await self._enter(phase)
            if not await self._connected().has_line(grace):
                await self._watch.kept_waiting()
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
                refusal = self._judge(line, reply, mail, delivery)
                if refusal and reply.code == 421:  # the server closes the connection
                    break
        if not belong_together(self._asked, self._heard):
            words = f"The answers do not belong together: {'; '.join(map(str, self._heard))}"
            raise self._failure(Kind.PROTOCOL, words, self._suspects())
        if refusal is not None:
            raise refusal

    def _judge(self, line: str, reply: Reply, mail: Mail, delivery: Delivery) -> SmtpFailure | None:
        """Note the answer for a recipient; return the failure of the mail if it is one."""
        is_mail, is_yes = line.startswith("MAIL"), reply.code in YES[line[:4]]
        if line == DATA:
            return self._refusal(reply) if delivery.accepted and not is_yes else None
        address = "" if is_mail else mail.rcpt_to[len(delivery.accepted) + len(delivery.refused)]
        if dsn.is_asked_in(line) and dsn.may_be_about_it(reply):
            self._blamed.add(address)
        if is_mail:
            return None if is_yes else self._refusal(reply)
        if is_yes:
            delivery.accepted.append(address)
        elif reply.code >= 400 and reply.code != 421:  # by 421 the server closes; it says nothing about the recipient
            delivery.refused[address] = reply
        else:
            return self._refusal(reply)
        return None

    def _parameters(self, mail: Mail) -> str:
        """The parameters of MAIL, each with a space before it. Raises SmtpFailure if it cannot be sent so.

        RFC 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8).
        """
        content, offered, parameters = mail.content, self._extensions, ""
        if "size" in offered:
            limit = offered["size"].split()
            if limit and limit[0].isdecimal() and 0 < int(limit[0]) < len(content):
                words = f"The mail has {len(content)} bytes and the server takes at most {limit[0]}: send less."
                raise self._failure(Kind.LOCAL, words)
            parameters += f" SIZE={len(content)}"
        if max(map(len, content.split(b"\n"))) > LONGEST_LINE + 1:
            raise self._failure(Kind.LOCAL, "The mail has a line of more than 998 bytes and cannot be sent as it is.")
        if not content.isascii() and "8bitmime" in offered:
            parameters += " BODY=8BITMIME"
        if mail.smtputf8:
            if "smtputf8" not in offered:
                words = "The server does not offer SMTPUTF8, which an address of this mail needs: use another."
                raise self._failure(Kind.LOCAL, words)
            parameters += " SMTPUTF8"
        return parameters
