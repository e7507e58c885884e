"""Whether the answers on a session are answers to what was asked: what the server says besides is found here.

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

DATA = "DATA"


def belong_together(asked: Sequence[str], heard: Sequence[Reply]) -> bool:
    """Whether these may be the answers to these commands of an envelope; more commands than answers are no fault."""
    is_refused = False  # the last MAIL
    for line, reply in zip(asked, heard, strict=False):
        if reply.code == 421:  # it closes, and says so at any command (RFC 5321 3.8)
            return True
        if line.startswith("MAIL"):
            is_refused = reply.code >= 400
        if reply.code < 400 and (is_refused or reply.code not in _yes_to(line)):
            return False
    return True


def _yes_to(line: str) -> tuple[int, ...]:
    if line == DATA:
        return (354,)
    return (250,) if line.startswith("MAIL") else (250, 251, 252)


class InStep(DataPhase):
    def __init__(self, endpoint: Endpoint, patience: Patience, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._asked: list[str] = []  # the commands of the present envelope
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
        """Wait a moment for the answers to what was asked of an envelope. Returns them when they are none."""
        if len(self._heard) >= len(self._asked):
            return ()
        self._watch, self._deadline = Watch(), time.monotonic() + QUIT_GRACE_SECONDS  # nobody's any more
        try:
            for line in self._asked[len(self._heard) :]:
                self._hear(line, await self._answer_to(line))
        except SmtpFailure:
            self.drop()
        return () if belong_together(self._asked, self._heard) else [*self._heard]

    def _hear(self, line: str, reply: Reply) -> None:
        self._heard.append(reply)
        if line == DATA and reply.code == 354:
            self._is_inside_mail = True

    async def _check_in_step(self) -> None:
        try:
            await super()._check_in_step()
        except SmtpFailure as failure:
            failure.surplus = [*self._heard, *failure.surplus] if failure.surplus else ()
            raise

    async def _unasked(self) -> Sequence[Reply]:
        """What is there that answers nothing, without waiting for it. What a server says as it closes is none."""
        with contextlib.suppress(SmtpFailure):
            if self.is_open:
                self._look()
                if self._connected().has_unread() and (reply := await self._answer_to("(not asked)")).code != 421:
                    return [reply]
        return ()

    async def _begin_afresh(self) -> Sequence[Reply]:
        """After the envelope was refused. Returns what was heard that is no answer; then the session is closed.

        Without PIPELINING a 250 that is read for RSET's may be MAIL's, behind a word that was read for MAIL's, and
        RSET's own still on its way. Only 221 is the answer to nothing else, so such a session ends here.
        """
        surplus = await self._reset()
        if not surplus and "pipelining" not in self._extensions:
            surplus = await super().quit()
        return [*self._heard, *surplus] if surplus else ()

    async def _reset(self) -> Sequence[Reply]:
        """RSET, so that the next mail starts afresh. A session that does not take it is closed, and so is one that has
        said what nobody asked for, which is returned."""
        try:
            reply = await self._command("RSET")
        except SmtpFailure:
            self.drop()
            return ()
        if reply.code == 250:
            if surplus := await self._unasked():
                self.drop()
            return surplus
        if reply.code < 400:  # 354 of a DATA that seemed to be refused: no QUIT, which would be a line of a mail
            self.drop()
            return [reply]
        behind = await super().quit()
        return [reply, *behind] if behind else ()
