"""The content of a mail: DATA or BDAT, its octets, its end, and the answer to that.

Up to the end the server lacks the mail, so whatever fails before it is tried again. From the end on (the final dot, or
the last chunk) only the server's answer tells, and no word that was not asked for is taken for it.

RFC 5321 4.1.1.4 (DATA), 4.5.3.2 (time limits), RFC 3030 (BDAT).
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from mailbox.endpoints import Endpoint
from outbox.eventloop.coroutines import Steps
from outbox.retry.faults import Kind, Phase
from outbox.smtp.connection import Conversation, Patience, SmtpFailure, Watch
from outbox.smtp.mail import Beside, Mail
from outbox.smtp.octets import CHUNK, chunks, dot_stuffed, with_crlf
from outbox.smtp.replies import Reply
from outbox.smtp.transport import Lost

NOT_KNOWN = (500, 501, 502, 503, 504)  # replies to a command that the server does not know after all
_without_bdat: set[tuple[str, int]] = set()  # host and port of servers that offered CHUNKING and did not know BDAT


class ContentConversation(Conversation):
    def __init__(self, endpoint: Endpoint, patience: Patience, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._extensions: dict[str, str] = {}  # EHLO keyword, lower case -> its parameters
        self._is_inside_mail = False  # the server reads what we write as a mail, up to its end

    def _look_ahead(self, following: Mail | None) -> None:
        """Prepare what is said of the mail after this one."""
        raise NotImplementedError

    def _data(self, content: bytes, beside: Beside) -> Steps[Reply]:
        self._enter(Phase.DATA)
        if self._in_one_go(content):
            return (yield from self._bdat(content, beside))
        self._expect("DATA", (yield from self._command("DATA")), 354)
        self._is_inside_mail = True
        yield from self._transfer(dot_stuffed(content))
        yield from self._write_end(b".\r\n")
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
        yield from self._write_end(memoryview(f"{command}\r\n".encode() + lines))
        self._look_ahead(beside.given())
        try:
            return (yield from self._final(command, (yield from self._read(self._patience.final_dot))))
        except SmtpFailure as failure:
            if failure.fault.code not in NOT_KNOWN:
                raise
            # It was offered, perhaps by something between us and the server: the mail was read as commands, if at all.
            self._do_without_bdat()
            raise SmtpFailure(replace(failure.fault, kind=Kind.UNKNOWN, phase=Phase.DATA)) from None

    def _do_without_bdat(self) -> None:
        _without_bdat.add((self._endpoint.host, self._endpoint.port))

    def _final(self, command: str, reply: Reply) -> Steps[Reply]:
        self._is_inside_mail = False
        self._note(command, reply)
        if 200 <= reply.code < 300:
            yield from self._check_nothing_behind(reply)
            return reply
        if (yield from self._is_contradicted()):
            raise self._failure(Kind.PROTOCOL, f"The server refused the mail and said yes behind it: {reply}")
        raise self._refusal(reply)

    def _check_nothing_behind(self, taken: Reply) -> Steps[None]:
        """Behind a yes to the mail nothing may be there: one of the two was said of something else, and it may have
        been the yes."""
        with contextlib.suppress(SmtpFailure):  # the server has closed: the answer stands
            self._look()
        if self._connected().has_unread():
            behind = "half a reply"
            with contextlib.suppress(SmtpFailure):
                behind = str((yield from self._answer_to("(not asked)")))
            raise self._failure(
                Kind.PROTOCOL, f"The server said yes to the mail ({taken}) and more behind it: {behind}"
            )

    def _check_nothing_before_the_end(self) -> Steps[None]:
        """Just before the end of the mail nothing may be there: what the server says now would be taken for its answer
        to the whole. A refusal is its answer; a yes to half a mail is none, and the mail is left without its end."""
        self._look()
        if not self._connected().has_unread():
            return
        said = yield from self._answer_to("(before the end of the mail)")
        if said.code >= 400:
            raise self._refusal(said)
        raise self._out_of_step(f"The server answered before the mail was there: {said}", said)

    def _transfer(self, octets: bytes) -> Steps[None]:
        """Write the mail without its end. The whole may take longer than `session`, the longer the larger it is."""
        self._deadline += len(octets) / self._patience.slowest_bytes_per_second
        for chunk in chunks(octets):
            yield from self._check_nothing_before_the_end()
            yield from self._write(chunk)
            self._watch.waiting()

    def _write_end(self, octets: bytes | memoryview) -> Steps[None]:
        """Write what ends the mail. From here on silence is uncertainty."""
        yield from self._check_nothing_before_the_end()
        self._enter(Phase.DOT)
        yield from self._write(octets)

    def _write(self, octets: bytes | memoryview) -> Steps[None]:
        """Raises SmtpFailure of the phase DATA: the server lacks at least the last octet, so it took nothing."""
        wire = self._connected()
        try:
            yield from wire.send(octets, self._left())
        except (Lost, OSError) as error:
            self._enter(Phase.DATA)
            # A server that has had enough may have said so before it closed.
            if (said := (yield from wire.last_words())) and said.code >= 400:
                self._note("(body)", said)
                raise self._refusal(said) from error
            raise self._failure(Kind.NETWORK, f"The connection was lost while the mail was sent: {error}") from error
