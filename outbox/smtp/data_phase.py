"""The content of a mail behind DATA: its body, its end, and the answer to that.

The end (the last line with CRLF.CRLF) is the point of no return. Up to it the server lacks the mail and cannot take it
(RFC 5321 4.1.1.4; RFC 1047 is about what comes after it), so whatever fails before is tried again. From the end on only
the server's answer tells, and no reply that was not asked for is taken for it.

RFC 5321 4.1.1.4 (DATA), 4.5.3.2 (time limits).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator

from mailbox.endpoints import Endpoint
from outbox.retry.faults import Kind, Phase
from outbox.smtp.connection import Conversation, Patience, SmtpFailure, Watch
from outbox.smtp.mail import Delivery, Mail, MailHooks
from outbox.smtp.octets import body_and_end, chunks, dot_stuffed
from outbox.smtp.replies import Reply
from outbox.smtp.transport import AT_ONCE, TICK_SECONDS, Lost

COURTESY_SECONDS = 1.0  # for the last of the body to arrive before the end is written
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.1  # seconds between looks at what the kernel still holds


class DataPhase(Conversation):
    def __init__(self, endpoint: Endpoint, patience: Patience, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._extensions: dict[str, str] = {}  # EHLO keyword, lower case -> its parameters
        self._is_inside_mail = False  # the server reads what we write as a mail, up to its end
        self._waits: Iterator[Callable[[], Awaitable[None]]] = iter(())  # MailHooks.kept_waiting, once a mail

    def _look_ahead(self, following: Mail | None) -> None:
        """Prepare what is said of the mail after this one."""
        raise NotImplementedError

    async def _kept_waiting(self) -> None:
        if kept_waiting := next(self._waits, None):
            await kept_waiting()

    async def _write_mail(self, content: bytes, delivery: Delivery, hooks: MailHooks) -> Reply | None:
        """Write the mail after a 354; the server's reply, None when the mail has to be left without its end.

        The commit of "dot" comes when the kernel has the body: the server receives the last of it meanwhile. Behind
        the commit comes nothing but a bounded wait for that, and the end.
        """
        body, end = body_and_end(dot_stuffed(content))
        await self._write_body(body)
        if not await hooks.before_dot(delivery):
            return None
        self._waits = iter(())  # nothing is done any more but this
        if len(body) > AT_ONCE:
            await self._has_arrived(0, COURTESY_SECONDS)
        await self._write_end(end)
        self._look_ahead(hooks.after_dot())
        return await self._final("(end of mail)", await self._read(self._patience.final_dot))

    async def _final(self, command: str, reply: Reply) -> Reply:
        self._is_inside_mail = False
        self._note(command, reply)
        if 200 <= reply.code < 300:
            await self._check_nothing_behind(reply)
            return reply
        if await self._is_contradicted():
            raise self._failure(Kind.PROTOCOL, f"The server refused the mail and said yes behind it: {reply}")
        raise self._refusal(reply)

    async def _check_nothing_behind(self, taken: Reply) -> None:
        """Behind a yes to the mail nothing may be there: one of the two was said of something else, and it may have
        been the yes."""
        with contextlib.suppress(SmtpFailure):  # the server has closed: the answer stands
            self._look()
        if self._connected().has_unread():
            behind = "half a reply"
            with contextlib.suppress(SmtpFailure):
                behind = str(await self._answer_to("(not asked)"))
            raise self._failure(
                Kind.PROTOCOL, f"The server said yes to the mail ({taken}) and more behind it: {behind}"
            )

    async def _check_nothing_before_the_end(self) -> None:
        """Just before the end of the mail nothing may be there: what the server says now would be taken for its answer
        to the whole. A refusal is its answer; a yes to half a mail is none, and the mail is left without its end."""
        self._look()
        if not self._connected().has_unread():
            return
        said = await self._answer_to("(before the end of the mail)")
        if said.code >= 400:
            raise self._refusal(said)
        raise self._out_of_step(f"The server answered before the mail was there: {said}", [said])

    async def _write_body(self, body: memoryview) -> None:
        """Write the mail without its end. The larger it is, the longer the whole may take.

        Of a large one all but the last is with the server before "dot" is committed: a worker that dies while a slow
        line carries the rest leaves no question.
        """
        self._deadline += len(body) / self._patience.slowest_bytes_per_second
        for chunk in chunks(body):
            await self._check_nothing_before_the_end()
            await self._write(chunk)
            await self._watch.waiting()
        if len(body) > AT_ONCE and not await self._has_arrived(AT_ONCE, self._patience.write):
            raise self._failure(Kind.NETWORK, "The connection was lost while the mail was sent: no progress.")

    async def _has_arrived(self, but: int, seconds: float) -> bool:
        """Wait until all `but` so many octets are with the server's kernel, or the server says something; False after
        `seconds` without progress. The end that leaves alone is lost by fewer of the connections that break."""
        wire, pause = self._connected(), FIRST_PAUSE
        least, told_at = wire.unacknowledged(), time.monotonic()
        moved_at = told_at
        while (left := wire.unacknowledged()) > but and not wire.has_unread():
            await self._kept_waiting()
            now = time.monotonic()
            if left < least:
                least, moved_at = left, now
            if now >= min(moved_at + seconds, self._deadline):
                return False
            if await wire.readable(now + pause):
                self._look()
            pause = min(2 * pause, LONGEST_PAUSE)
            if now - told_at >= TICK_SECONDS:
                told_at = now
                await self._watch.waiting()
        return True

    async def _write_end(self, octets: bytes) -> None:
        """Write what ends the mail. From here on silence is uncertainty."""
        await self._check_nothing_before_the_end()
        await self._enter(Phase.DOT)
        await self._write(octets)

    async def _write(self, octets: bytes | memoryview) -> None:
        """Raises SmtpFailure of the phase DATA: the server lacks at least the last octet, so it took nothing."""
        wire, blocked = self._connected(), None if self._phase is Phase.DOT else self._kept_waiting
        try:
            await wire.send(octets, self._patience.write, until=self._deadline, blocked=blocked)
        except (Lost, OSError) as error:
            await self._enter(Phase.DATA)
            # A server that has had enough may have said so before it closed.
            if (said := await wire.last_words()) and said.code >= 400:
                self._note("(body)", said)
                raise self._refusal(said) from error
            raise self._failure(Kind.NETWORK, f"The connection was lost while the mail was sent: {error}") from error
