"""Conversations with servers that say any bytes: an input is what they say, cut at each NUL into what follows one of
our commands. In what an IMAP server says, "~~" is the tag of the command."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, NetworkError
from mailbox.imap import fetch, listing, partial_fetch, response_lines, search, transport
from mailbox.imap.session import ImapSession, KnownFolder
from outbox.retry.classification import classify, is_for_now
from outbox.retry.faults import OPENING, Verdict
from outbox.smtp import session as smtp_session
from outbox.smtp.connection import SmtpFailure, SmtpTimeouts
from outbox.smtp.mail import Mail, Watch
from outbox.smtp.session import SmtpSession
from outbox.smtp.transport import Lost, Wire

SECRET = "correct-horse"
_TAG = re.compile(rb"^(PRX\d+) ", re.M)


class Said:
    """What a server says, piece by piece."""

    def __init__(self, data: bytes) -> None:
        self._pieces = deque(data.split(b"\0"))
        self.ready = self._pieces.popleft()
        self.heard = b""

    def go_on(self, tag: bytes = b"") -> None:
        piece = self._pieces.popleft() if self._pieces else b""
        self.ready += piece.replace(b"~~", tag) if tag else piece

    def take(self, most: int) -> bytes:
        taken, self.ready = self.ready[:most], self.ready[most:]
        return taken

    @property
    def is_over(self) -> bool:
        return not self.ready and not self._pieces


# --- IMAP


class _Socket:
    """What imaplib and our SocketReader ask of a socket."""

    def __init__(self, said: Said) -> None:
        self._said = said

    def recv_into(self, buffer: Any) -> int:
        octets = self._said.take(len(buffer))
        buffer[: len(octets)] = octets
        return len(octets)

    def sendall(self, octets: bytes) -> None:
        self._said.heard += octets
        tags = _TAG.findall(octets)
        self._said.go_on(tags[-1] if tags else b"PRX0")

    def setsockopt(self, *_: object) -> None: ...

    def settimeout(self, *_: object) -> None: ...

    def shutdown(self, *_: object) -> None: ...

    def close(self) -> None: ...


def imap(data: bytes) -> None:
    """A whole run: sign-in, folders, EXAMINE, SEARCH, and every kind of FETCH. Only MailErrors leave it."""
    by_token, data = data[:1] == b"T", data[1:]
    secret = {"oauth_token": SECRET} if by_token else {"password": SECRET}
    endpoint = Endpoint("imap.example.com", 993, "tls", "ann@example.com", **secret)
    with answered_by(Said(data)):
        try:
            session = ImapSession.open(endpoint, connect_timeout=5, command_timeout=5)
        except MailError as error:
            _assert_words(str(error), error.reply)
            return
        for step in _STEPS:
            try:
                step(session)
            except NetworkError as error:
                _assert_words(str(error), error.reply)
                break
            except MailError as error:
                _assert_words(str(error), error.reply)
        assert not [alert for alert in session.alerts if "\0" in alert]
        session.close()


@contextlib.contextmanager
def answered_by(said: Said) -> Iterator[None]:
    plain = transport._Beneath._create_socket
    transport._Beneath._create_socket = lambda self, timeout=None: _Socket(said)  # type: ignore[assignment]
    try:
        yield
    finally:
        transport._Beneath._create_socket = plain  # type: ignore[method-assign]


def _folders(session: ImapSession) -> None:
    for folder in session.list_folders():
        assert "\0" not in folder.name + folder.delimiter
        folder.name.encode()


def _examined(session: ImapSession) -> None:
    status = session.examine("INBOX")
    assert 0 < status.uidvalidity <= fetch.MAX_NUMBER and 0 <= status.exists <= fetch.MAX_UID


def _changes(session: ImapSession) -> None:
    session.examine("Entwürfe", KnownFolder(1, 5, 1, 100))


def _found(session: ImapSession) -> None:
    uids = session.search_uids(1, 100)
    assert uids == sorted(set(uids)) and set(uids) <= set(range(1, 101))


def _fetched(session: ImapSession) -> None:
    metas = list(session.fetch_meta([1, 2, 3]).values())
    for meta in metas:
        assert meta.uid in (1, 2, 3) and 0 <= meta.size <= fetch.MAX_NUMBER
        words = "".join((*meta.flags, *(meta.labels or ())))
        assert "\0" not in words
        words.encode()
    for message in session.fetch_messages(metas):
        assert message.meta in metas and isinstance(message.raw, bytes)
    for meta in metas[:1]:
        session.fetch_header(meta)


_STEPS: tuple[Callable[[ImapSession], object], ...] = (
    _folders,
    _examined,
    _found,
    _fetched,
    _changes,
    lambda session: session.fetch_range(1, 3),
    lambda session: session.fetch_flags([1, 2, 3]),
    lambda session: session.fetch_changed_flags(1, 100, 5),
    lambda session: session.fetch_header_digests([1, 2, 3]),
    lambda session: partial_fetch.fetch_piece(session, 1, 0, 100),
    lambda session: session.identity_of("Archive"),
    lambda session: session.find_message_id("Sent", "<a@example.com>"),
)


def imap_answers(data: bytes) -> None:
    """The readers of answers by themselves."""
    lines = data.split(b"\n")
    for line in lines:
        response_lines.as_meant(line + b"\r\n")
        response_lines.alert_in(line)
    fetch.rows(lines)
    fetch.pair_bodies([(data, b"x"), b")"])
    listing._rows(list(lines))
    with contextlib.suppress(ValueError):
        search.found_in(lines, lines)


# --- SMTP


class _Wire(Wire):
    def __init__(self, said: Said) -> None:
        self._said = said
        self._unread = b""

    def local_literal(self) -> str:
        return "[192.0.2.1]"

    def unacknowledged(self) -> int:
        return 0

    @classmethod
    async def connect(cls, *_: object) -> _Wire:
        return cls(_Session.said)

    async def ready(self, until: float, *, to_write: bool = False) -> bool:
        return False

    def look(self) -> bool:
        if self._said.is_over:
            raise Lost("The server closed the connection.")
        octets = self._said.take(16_384)
        self._unread += octets
        return bool(octets)

    async def send(self, octets: bytes | memoryview, seconds: float, *_: object, **__: object) -> None:
        self._said.go_on()

    async def _look(self, until: float) -> bool:
        if not self.look():
            raise Lost("The server did not answer in time.")
        return True

    def close(self) -> None: ...


class _Session(SmtpSession):
    said: Said

    async def _wrap(self) -> None:
        await self._enter(self._phase)


_LOOP = asyncio.new_event_loop()
_MAILS = [
    Mail("ann@example.com", ["bob@example.org", "c@example.org"], b"A: a\r\n\r\n.b\r\n", envelope_id="5d1e"),
    Mail("ann@example.com", ["bob@example.org"], b"Subject: " + b"x" * 20_000 + b"\r\n\r\nb\r\n"),
]  # fmt: skip


def smtp(data: bytes) -> None:
    """Sign-in and two mails: only SmtpFailures leave it, each is classified, and none before MAIL blames a mail."""
    _Session.said = Said(data[1:])
    kind = data[:1]
    secret = {"oauth_token": SECRET * 40} if kind == b"T" else {"password": SECRET}
    security = "starttls" if kind == b"S" else "tls"
    endpoint = Endpoint("smtp.example.com", 587, security, "ann@example.com", **secret)
    with _no_network():
        _LOOP.run_until_complete(_conversation(endpoint))


@contextlib.contextmanager
def _no_network() -> Iterator[None]:
    plain = smtp_session.Wire
    smtp_session.Wire = _Wire  # type: ignore[misc]
    try:
        yield
    finally:
        smtp_session.Wire = plain  # type: ignore[misc]


async def _conversation(endpoint: Endpoint) -> None:
    try:
        session = await _Session.open(endpoint, patience=SmtpTimeouts())
    except SmtpFailure as failure:
        _assert_classified(failure)
        assert failure.fault.phase in OPENING
        return
    for mail in _MAILS:
        try:
            delivery = await session.deliver(mail, Watch())
        except SmtpFailure as failure:
            _assert_classified(failure)
        else:
            assert delivery.final is None or 200 <= delivery.final.code < 300
            assert set(delivery.accepted) | set(delivery.refused) <= set(mail.rcpt_to)
            for reply in delivery.refused.values():
                is_for_now(reply.code, reply.text)
                _assert_words(str(reply))
        if not session.is_open:
            return
    await session.quit()


def _assert_classified(failure: SmtpFailure) -> None:
    verdict = classify(failure.fault)
    assert failure.fault.phase not in OPENING or verdict in (Verdict.TRANSIENT, Verdict.THROTTLED, Verdict.SIGN_IN)
    _assert_words(failure.fault.reply)


def _assert_words(*words: str) -> None:
    """What a database and a page hold, without the secret."""
    for each in words:
        each.encode()
        assert "\0" not in each and SECRET not in each
