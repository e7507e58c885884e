"""Sends the content of a mail after DATA: its body, its end, and reads the answer to it.

The end (the last line with CRLF.CRLF) is the point of no return. Before it, the server cannot take the mail (RFC 5321
4.1.1.4; RFC 1047 is about what comes after it), so every failure can be retried. After it, only the server's answer
tells whether it took the mail, and an unsolicited reply is never taken for that answer.

RFC 5321 4.1.1.4 (DATA), 4.5.3.2 (time limits).
"""

from __future__ import annotations

import contextlib
import time

from outbox.retry.faults import Kind, Phase
from outbox.smtp.blocking_calls import TICK_SECONDS
from outbox.smtp.connection import SmtpFailure
from outbox.smtp.in_step import InStep
from outbox.smtp.mail import Delivery
from outbox.smtp.octets import body_and_end, chunks, dot_stuffed
from outbox.smtp.replies import Reply
from outbox.smtp.transport import AT_ONCE, Lost

# RFC 5321 4.3.2 has 250 alone, and a code that is not known counts by its first digit (4.2). These are known: they are
# about help, a session, a sign-in or an address (4.2.3; RFC 4954, 6), and nobody has taken the mail by them.
NO_RECEIPT = {211, 214, 220, 221, 235, 252}
LAST_OF_BODY_SECONDS = 1.0  # wait until the last of the body is acknowledged, before the end is written
BEFORE_THE_END = "(before the end of the mail)"
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.1  # seconds between two looks at the kernel's unacknowledged octets


class DataPhase(InStep):
    """The step after DATA; the base class of MailTransaction."""

    async def _write_mail(self, content: bytes, delivery: Delivery) -> None:
        """Write the mail after 354.

        "dot" is committed when the kernel has the body, while the server still receives the last of it. After the
        commit there is only a bounded wait for that, and the end.
        """
        body, end = body_and_end(dot_stuffed(content))
        await self._write_body(body)
        await self._watch.before_dot(delivery)
        if len(body) > AT_ONCE:
            await self._has_arrived(0, LAST_OF_BODY_SECONDS)
        await self._write_end(end)

    async def _final(self) -> Reply:
        """The server's answer to the end of the mail.

        Raises SmtpFailure, also when another reply follows a positive one: one of the two answers something else, and
        it may be the positive one.
        """
        reply = await self._read(self._patience.final_dot)
        self._is_inside_mail = False
        self._note("(end of mail)", reply)
        if reply.code // 100 == 2 and reply.code not in NO_RECEIPT:
            has_more = False
            with contextlib.suppress(SmtpFailure):  # the server has closed: its answer is valid
                has_more = self._look()
            if not has_more:
                return reply
            behind = await self._last_words() or "half a reply"
            words = f"The server said yes to the mail ({reply}) and more behind it: {behind}"
            raise self._failure(Kind.PROTOCOL, words)
        # A positive reply behind the refusal: one of the two answers something else, so the mail may have been taken.
        if any(each.code < 400 for each in await self._surplus()):
            raise self._failure(Kind.PROTOCOL, f"The server refused the mail and said yes behind it: {reply}")
        raise self._refusal(reply)

    async def _write_body(self, body: memoryview) -> None:
        """Write the mail without its end; the deadline is extended by its size.

        Of a large mail, all but the last AT_ONCE octets are acknowledged before "dot" is committed: so a worker that
        dies during a slow upload does not leave the mail uncertain.
        """
        self._deadline += len(body) / self._patience.slowest_bytes_per_second
        for chunk in chunks(body):
            await self._check_nothing_said(BEFORE_THE_END)
            await self._write(chunk)
            await self._watch.waiting()
        if len(body) > AT_ONCE and not await self._has_arrived(AT_ONCE, self._patience.write):
            raise self._failure(Kind.NETWORK, "The connection was lost while the mail was sent: no progress.")

    async def _has_arrived(self, but: int, seconds: float) -> bool:
        """Wait until the server's kernel has acknowledged all octets except the last `but`, or a reply arrives.

        False after `seconds` without progress. With the body acknowledged, fewer broken connections lose the end.
        """
        wire, pause = self._connected(), FIRST_PAUSE
        least, told_at = wire.unacknowledged(), time.monotonic()
        moved_at = told_at
        while (left := wire.unacknowledged()) > but and not wire.has_unread():
            await self._watch.kept_waiting()
            now = time.monotonic()
            if left < least:
                least, moved_at = left, now
            if now >= min(moved_at + seconds, self._deadline):
                return False
            if await wire.ready(now + pause):
                self._look()
            pause = min(2 * pause, LONGEST_PAUSE)
            if now - told_at >= TICK_SECONDS:
                told_at = now
                await self._watch.waiting()
        return True

    async def _write_end(self, octets: bytes) -> None:
        """Write the end of the mail. From here on the outcome is uncertain until the server answers."""
        await self._check_nothing_said(BEFORE_THE_END)
        await self._enter(Phase.DOT)
        await self._write(octets)

    async def _write(self, octets: bytes | memoryview) -> None:
        """Write octets of the mail. On SmtpFailure the server lacks at least the last octet, so it took nothing."""
        wire, watch = self._connected(), self._watch
        try:
            await wire.send(
                octets, self._patience.write, watch.waiting, until=self._deadline, blocked=watch.kept_waiting
            )
        except (Lost, OSError) as error:
            await self._enter(Phase.DATA)
            # The server may have sent a refusal before it closed.
            if (said := await self._last_words("(body)")) and said.code >= 400:
                raise self._refusal(said) from error
            raise self._failure(Kind.NETWORK, f"The connection was lost while the mail was sent: {error}") from error
