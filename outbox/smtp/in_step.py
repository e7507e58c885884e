"""Detects unsolicited replies: whether the replies of a session can be the answers to its commands, in order.

One unsolicited reply shifts all later ones, so that a refusal read as a mail's answer may belong to the mail before.
Codes show the shift: after a refused MAIL nothing is accepted, only DATA is answered by 354, only QUIT by 221 (RFC 5321
4.3.2, RFC 2920 3.1).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from mailbox.endpoints import Endpoint
from outbox.retry.faults import AFTER_DOT, Kind
from outbox.smtp.connection import LAST_WORDS_SECONDS, SmtpCommands, SmtpFailure, SmtpTimeouts
from outbox.smtp.mail import Watch
from outbox.smtp.replies import Reply

DATA, RSET = "DATA", "RSET"
YES = {"MAIL": (250,), "RCPT": (250, 251, 252), DATA: (354,), RSET: (250,)}  # RFC 5321 4.3.2
QUIT_SECONDS = 5.0
MOST_UNASKED = 100  # unsolicited replies that are read, so that a server that sends without end does not keep us


def belong_together(asked: Sequence[str], heard: Sequence[Reply]) -> bool:
    """Whether these replies may be the answers to these commands, in order; the last answers may be missing."""
    if len(heard) > len(asked):
        return False
    is_refused = False  # whether the last MAIL was refused
    for line, reply in zip(asked, heard, strict=False):
        if reply.code == 421:  # the server may close the session at any command (RFC 5321 3.8)
            return True
        if line.startswith("MAIL"):
            is_refused = reply.code >= 400
        if line == RSET:  # a server has no reason to refuse it
            is_refused = False
            if reply.code >= 400:
                return False
        if reply.code < 400 and (is_refused or reply.code not in YES[line[:4]]):
            return False
    return True


def suspects_among(asked: Sequence[str], heard: Sequence[Reply]) -> Sequence[Reply]:
    """The replies any of which may be the unsolicited one: without it the others are in step. All, if none is such."""
    others = ((each, [*heard[:place], *heard[place + 1 :]]) for place, each in enumerate(heard))
    return [each for each, rest in others if belong_together(asked, rest)] or heard


class InStep(SmtpCommands):
    """Keeps the commands and replies of the present mail, to raise a failure as soon as they cannot belong together."""

    def __init__(self, endpoint: Endpoint, patience: SmtpTimeouts, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._extensions: dict[str, str] = {}  # EHLO keyword, lower case -> its parameters
        self._asked: list[str] = []  # the commands of the present mail, up to its body
        self._heard: list[Reply] = []  # the replies that were read as their answers
        self._is_inside_mail = False  # after 354: the server reads what we write as content, up to its end

    async def quit(self) -> Sequence[Reply]:
        """QUIT and close; without QUIT where the server would read it as content of a mail. Raises nothing.

        Returns replies of which one was unsolicited, so that it may be the answer to the last mail.
        """
        surplus = await self._read_missing()
        if not (surplus or self._is_inside_mail):
            surplus = await self._quit()
        self.drop()
        return surplus

    async def leave(self) -> Sequence[Reply]:
        """Close without QUIT, at any point. Returns unsolicited replies.

        None after the end of a mail: any reply may be its answer then, and the mail is uncertain anyway.
        """
        try:
            return () if self._is_inside_mail and self._phase in AFTER_DOT else await self._read_missing()
        finally:
            self.drop()

    async def _read_missing(self) -> Sequence[Reply]:
        """Wait a moment for the answers that are still missing. Returns replies of which one was unsolicited."""
        if not self.is_open:
            return ()
        self._watch, self._deadline = Watch(), time.monotonic() + LAST_WORDS_SECONDS  # no row is watched any more
        try:
            for line in self._asked[len(self._heard) :]:
                self._hear(line, await self._answer_to(line))
        except SmtpFailure:
            self.drop()
        return await self._surplus() if belong_together(self._asked, self._heard) else self._suspects()

    async def _quit(self) -> Sequence[Reply]:
        """QUIT and close. Returns the reply if another one follows: then it was not the answer to QUIT."""
        surplus: Sequence[Reply] = ()
        with contextlib.suppress(SmtpFailure):
            await self._say("QUIT")
            answer = await self._read(QUIT_SECONDS)
            # A single reply other than 221 is an odd answer to QUIT; with 421 the server closes by itself.
            if answer.code not in (221, 421) and await self._last_words():
                surplus = [answer]
        self.drop()
        return surplus

    def _hear(self, line: str, reply: Reply) -> None:
        self._heard.append(reply)
        if line == DATA and reply.code == 354:
            self._is_inside_mail = True

    async def _check_nothing_said(self, shown: str = "(not asked)") -> None:
        """Raise SmtpFailure if the server has closed the session, or there is an unsolicited reply: it would be taken
        for the answer to the next command, at worst for "accepted" before the mail was sent.

        421 may come at any time (RFC 5321 3.8), and within a mail a refusal is the server's answer to it.
        """
        if self._look():
            said = await self._answer_to(shown)
            if said.code == 421 or (self._is_inside_mail and said.code >= 400):
                raise self._refusal(said)
            words = "before the mail was there" if self._is_inside_mail else "more than it was asked"
            surplus = self._suspects([said])
            raise self._failure(Kind.PROTOCOL, f"The server answered {words}: {said}", surplus)

    async def _surplus(self) -> Sequence[Reply]:
        """The replies that are there although all commands were answered, except 421."""
        found: list[Reply] = []
        with contextlib.suppress(SmtpFailure):  # closed: all was read before
            while len(found) < MOST_UNASKED and self._look() and (reply := await self._last_words()):
                found.append(reply)
        return [each for each in found if each.code != 421]

    def _suspects(self, behind: Sequence[Reply] = ()) -> Sequence[Reply]:
        """Replies of which one was unsolicited. `behind`: replies that came after all answers."""
        return suspects_among(self._asked, [*self._heard, *behind])

    async def _begin_afresh(self) -> Sequence[Reply]:
        """After a refused envelope: make the session ready for the next mail, or close it and return unsolicited
        replies.

        Without PIPELINING, the 250 read as RSET's answer may be MAIL's if a reply before was unsolicited. Only 221
        answers nothing but QUIT, so such a session is closed.
        """
        surplus = await self._reset()
        if not surplus and "pipelining" not in self._extensions and (behind := await self._quit()):
            return self._suspects(behind)
        return surplus

    async def _reset(self) -> Sequence[Reply]:
        """RSET before the next mail. Closes the session if RSET is refused, or after unsolicited replies, which are
        returned."""
        try:
            reply = await self._command(RSET)
        except SmtpFailure:
            self.drop()
            return ()
        self._asked.append(RSET)
        self._heard.append(reply)
        behind, is_refused = await self._surplus(), reply.code >= 400
        if is_refused and not behind:  # the server may not implement RSET
            behind = await self._quit()
        if (is_refused or reply.code == 250) and not behind:
            return ()
        self.drop()  # also after 354, for a DATA that seemed refused: QUIT would be content of a mail
        return self._suspects(behind)
