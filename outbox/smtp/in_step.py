"""Whether what a session hears are answers to what it asked: what the server says besides is found here.

A word that nobody asked for moves every answer behind it by one, so a refusal that is read for a mail may be the answer
to the mail before it. The kinds of answers tell: behind a refused MAIL nothing is accepted, only DATA is answered with
354, only QUIT with 221. RFC 5321 4.3.2, RFC 2920 3.1.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from mailbox.endpoints import Endpoint
from outbox.retry.faults import AFTER_DOT
from outbox.smtp.connection import QUIT_GRACE_SECONDS, Patience, SmtpFailure, Watch
from outbox.smtp.data_phase import DataPhase
from outbox.smtp.replies import Reply

DATA, RSET = "DATA", "RSET"


def belong_together(asked: Sequence[str], heard: Sequence[Reply]) -> bool:
    """Whether these may be the answers to these commands; fewer answers than commands are no fault."""
    if len(heard) > len(asked):
        return False
    is_refused = False  # the last MAIL
    for line, reply in zip(asked, heard, strict=False):
        if reply.code == 421:  # it closes, and says so at any command (RFC 5321 3.8)
            return True
        if line.startswith("MAIL"):
            is_refused = reply.code >= 400
        if line == RSET:  # has nothing to refuse
            is_refused = False
            if reply.code >= 400:
                return False
        if reply.code < 400 and (is_refused or reply.code not in _yes_to(line)):
            return False
    return True


def unasked_among(asked: Sequence[str], heard: Sequence[Reply]) -> Sequence[Reply]:
    """Those without which the others belong together; all, where more than one word is too many."""
    others = ((each, [*heard[:place], *heard[place + 1 :]]) for place, each in enumerate(heard))
    return [each for each, rest in others if belong_together(asked, rest)] or heard


def _yes_to(line: str) -> tuple[int, ...]:
    if line == DATA:
        return (354,)
    return (250, 251, 252) if line.startswith("RCPT") else (250,)


class InStep(DataPhase):
    def __init__(self, endpoint: Endpoint, patience: Patience, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._asked: list[str] = []  # the commands of the present mail, up to its body
        self._heard: list[Reply] = []  # what was read as their answers

    async def quit(self) -> Sequence[Reply]:
        """As Conversation's; but where the server may read what is written as a mail, no QUIT is said."""
        left = await self._hear_what_is_left()
        if left or self._is_inside_mail:
            left = left or await self._unasked()
            self.drop()
            return left
        return await super().quit()

    async def leave(self) -> Sequence[Reply]:
        """Close without a word, in the middle of anything. Returns what the server had said that nobody asked for.

        Behind the end of a mail nothing is: whatever stands there may be the answer, and the mail is a question anyhow.
        """
        words: Sequence[Reply] = ()
        try:
            if self.is_open and not (self._is_inside_mail and self._phase in AFTER_DOT):
                words = await self._hear_what_is_left() or await self._unasked()
        finally:
            self.drop()
        return words

    async def _hear_what_is_left(self) -> Sequence[Reply]:
        """Wait a moment for the answers to what was asked. Returns what is none."""
        self._watch, self._deadline = Watch(), time.monotonic() + QUIT_GRACE_SECONDS  # nobody's any more
        if len(self._heard) >= len(self._asked):
            return ()
        try:
            for line in self._asked[len(self._heard) :]:
                self._hear(line, await self._answer_to(line))
        except SmtpFailure:
            self.drop()
        return () if self._is_in_step() else self._unasked_words()

    def _hear(self, line: str, reply: Reply) -> None:
        self._heard.append(reply)
        if line == DATA and reply.code == 354:
            self._is_inside_mail = True

    async def _check_in_step(self) -> None:
        try:
            await super()._check_in_step()
        except SmtpFailure as failure:
            failure.surplus = self._unasked_words(failure.surplus) if failure.surplus else ()
            raise

    async def _unasked(self) -> Sequence[Reply]:
        """What is there that answers nothing, without waiting for it. What a server says as it closes is none."""
        with contextlib.suppress(SmtpFailure):
            if self.is_open:
                self._look()
                if self._connected().has_unread() and (reply := await self._answer_to("(not asked)")).code != 421:
                    return [reply]
        return ()

    def _is_in_step(self) -> bool:
        return belong_together(self._asked, self._heard)

    def _unasked_words(self, behind: Sequence[Reply] = ()) -> Sequence[Reply]:
        """One of what is returned was not asked for. `behind`: what was there behind all answers."""
        return unasked_among(self._asked, [*self._heard, *behind])

    async def _begin_afresh(self) -> Sequence[Reply]:
        """After the envelope was refused. Returns what was heard that is no answer; then the session is closed.

        Without PIPELINING a 250 that is read for RSET's may be MAIL's, behind a word that was read for MAIL's, and
        RSET's own still on its way. Only 221 is the answer to nothing else, so such a session ends here.
        """
        surplus = await self._reset()
        if not surplus and "pipelining" not in self._extensions and (behind := await super().quit()):
            return self._unasked_words(behind)
        return surplus

    async def _reset(self) -> Sequence[Reply]:
        """RSET, so that the next mail starts afresh. A session that does not take it is closed, and so is one that has
        said what nobody asked for, which is returned."""
        try:
            reply = await self._command(RSET)
        except SmtpFailure:
            self.drop()
            return ()
        self._asked.append(RSET)
        self._heard.append(reply)
        if reply.code == 250:
            behind = await self._unasked()
            if not behind:
                return ()
            self.drop()
        elif reply.code < 400:  # 354 of a DATA that seemed to be refused: no QUIT, which would be a line of a mail
            behind = ()
            self.drop()
        else:  # perhaps RSET is not known
            behind = await super().quit()
            if not behind:
                return ()
        return self._unasked_words(behind)
