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
from outbox.retry.faults import AFTER_DOT
from outbox.smtp.connection import QUIT_GRACE_SECONDS, SmtpFailure, SmtpTimeouts, Watch
from outbox.smtp.data_phase import DataPhase
from outbox.smtp.replies import Reply

DATA, RSET = "DATA", "RSET"


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
        if reply.code < 400 and (is_refused or reply.code not in _yes_to(line)):
            return False
    return True


def unasked_among(asked: Sequence[str], heard: Sequence[Reply]) -> Sequence[Reply]:
    """The replies any of which may be the unsolicited one: without it the others are in step. All, if none is such."""
    others = ((each, [*heard[:place], *heard[place + 1 :]]) for place, each in enumerate(heard))
    return [each for each, rest in others if belong_together(asked, rest)] or heard


def _yes_to(line: str) -> tuple[int, ...]:
    if line == DATA:
        return (354,)
    return (250, 251, 252) if line.startswith("RCPT") else (250,)


class InStep(DataPhase):
    """Keeps the commands and replies of the present mail, to raise a failure as soon as they cannot belong together."""

    def __init__(self, endpoint: Endpoint, patience: SmtpTimeouts, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._asked: list[str] = []  # the commands of the present mail, up to its body
        self._heard: list[Reply] = []  # the replies that were read as their answers

    async def quit(self) -> Sequence[Reply]:
        """QUIT and close, as the base class; without QUIT where the server would read it as content of a mail."""
        left = await self._hear_what_is_left()
        if left or self._is_inside_mail:
            left = left or await self._unasked()
            self.drop()
            return left
        return await super().quit()

    async def leave(self) -> Sequence[Reply]:
        """Close without QUIT, at any point. Returns unsolicited replies.

        None after the end of a mail: any reply may be its answer then, and the mail is uncertain anyway.
        """
        words: Sequence[Reply] = ()
        try:
            if self.is_open and not (self._is_inside_mail and self._phase in AFTER_DOT):
                words = await self._hear_what_is_left() or await self._unasked()
        finally:
            self.drop()
        return words

    async def _hear_what_is_left(self) -> Sequence[Reply]:
        """Wait a moment for the answers that are still missing. Returns replies of which one was unsolicited."""
        self._watch, self._deadline = Watch(), time.monotonic() + QUIT_GRACE_SECONDS  # no row is watched any more
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
        """A reply that is there although all commands were answered, except 421; does not wait."""
        with contextlib.suppress(SmtpFailure):
            if self.is_open:
                self._look()
                if self._connected().has_unread() and (reply := await self._answer_to("(not asked)")).code != 421:
                    return [reply]
        return ()

    def _is_in_step(self) -> bool:
        return belong_together(self._asked, self._heard)

    def _unasked_words(self, behind: Sequence[Reply] = ()) -> Sequence[Reply]:
        """Replies of which one was unsolicited. `behind`: replies that came after all answers."""
        return unasked_among(self._asked, [*self._heard, *behind])

    async def _begin_afresh(self) -> Sequence[Reply]:
        """After a refused envelope: make the session ready for the next mail, or close it and return unsolicited
        replies.

        Without PIPELINING, the 250 read as RSET's answer may be MAIL's if a reply before was unsolicited. Only 221
        answers nothing but QUIT, so such a session is closed.
        """
        surplus = await self._reset()
        if not surplus and "pipelining" not in self._extensions and (behind := await super().quit()):
            return self._unasked_words(behind)
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
        if reply.code == 250:
            behind = await self._unasked()
            if not behind:
                return ()
            self.drop()
        elif reply.code < 400:  # such as 354, for a DATA that seemed refused: QUIT would be content of a mail
            behind = ()
            self.drop()
        else:  # the server may not implement RSET
            behind = await super().quit()
            if not behind:
                return ()
        return self._unasked_words(behind)
