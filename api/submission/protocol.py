"""One connection of a program, by aiosmtpd, with its gaps closed.

aiosmtpd keeps an endless line of a mail in memory, does not know implicit TLS, has only a time-out from command to
command, and calls the authenticator in the event loop.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, LoginPassword, Session

from api.submission import acceptance, dsn_parameters
from api.submission.acceptance import Program, SubmissionRefused, reply
from api.submission.handler import Handler, Service, in_thread

SIGN_IN_SECONDS = 60  # from the connection to the end of AUTH; no command extends it
COMMAND_SECONDS = 300  # between two commands (RFC 5321 4.5.3.2.7)
MAIL_SECONDS = 900  # from DATA to the end of the mail
LONGEST_COMMAND = 1000
MOST_COMMANDS = {"AUTH": 3, "EHLO": 10, "HELO": 10, "STARTTLS": 2, "NOOP": 1000, "*": 20}
MOST_COMMANDS |= dict.fromkeys(("MAIL", "RCPT", "DATA", "RSET", "QUIT"), 1_000_000)
# Path of RFC 5321 4.1.2, without the route that its appendix C has servers drop; many programs leave the brackets out.
_MAILBOX = r'(?:"(?:[^"\\]|\\.|(?!))*+"|[^<>"\s]|(?!))'
_PATH = re.compile(rf"(?:<(?:@[^:<>]*+:)?({_MAILBOX}*+)>|({_MAILBOX}++))(?:\s++(.*+))?", re.S)
TOO_LONG = "554 5.6.0 A line of the mail has more than 998 bytes: encode it"
TOO_LARGE = "552 5.3.4 The mail is larger than SIZE says"
NO_ROOM = "451 4.3.1 Too many mails at this moment: try again"
HANDSHAKE_SECONDS = 15
TOO_MANY = b"421 4.7.0 Too many connections: try again later\r\n"


class ImplicitTls(asyncio.Protocol):
    """A connection that begins with TLS (RFC 8314): counted before the handshake, as a stranger may never end it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def connection_made(self, transport: Any) -> None:
        """Count the connection, and begin TLS; close it beyond the limits, as nothing can be said before TLS."""
        address = _address_of(transport)
        if self._service.limits.enter(address):
            self._task = asyncio.get_running_loop().create_task(self._begin_tls(transport, address))
        else:
            transport.abort()

    async def _begin_tls(self, transport: asyncio.Transport, address: str) -> None:
        protocol, loop = Protocol(self._service, counted_as=address), asyncio.get_running_loop()
        seconds = HANDSHAKE_SECONDS
        try:
            tls = await loop.start_tls(
                transport, protocol, self._service.tls, server_side=True, ssl_handshake_timeout=seconds
            )
        except OSError:  # no TLS, another certificate wanted, or gone
            tls = None
        if tls is None or tls.is_closing():
            protocol.connection_lost(None)
        else:
            protocol.connection_made(tls)


def _address_of(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return acceptance.plain_address(peer[0] if peer else "")


class Protocol(SMTP):
    """One connection. `counted_as`: the address under which ImplicitTls has counted it; otherwise STARTTLS must come
    before AUTH."""

    def __init__(self, service: Service, *, counted_as: str | None = None) -> None:
        is_implicit = counted_as is not None
        self.command_size_limits = defaultdict(lambda: LONGEST_COMMAND)  # in aiosmtpd, one object for all connections
        self._service, self._is_counted, self._address = service, is_implicit, counted_as or ""
        super().__init__(
            Handler(service),
            data_size_limit=service.limits.largest_mail,
            enable_SMTPUTF8=True,
            hostname=service.hostname,
            ident="ESMTP",
            tls_context=None if is_implicit else service.tls,
            require_starttls=not is_implicit,
            auth_required=True,
            authenticator=_as_given,
            command_call_limit=MOST_COMMANDS,
            timeout=COMMAND_SECONDS,
            loop=asyncio.get_running_loop(),
        )
        self._auth_require_tls = not is_implicit  # aiosmtpd counts only STARTTLS as TLS

    def connection_made(self, transport: Any) -> None:
        """Count the connection; beyond the limits say 421 and close it."""
        if not self._is_counted:
            self._address = _address_of(transport)
            if not self._service.limits.enter(self._address):
                transport.write(TOO_MANY)
                transport.close()
                return
            self._is_counted = True
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what a counted connection sends; what a refused one sends is dropped."""
        if self._is_counted:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on the end of what a counted connection sends."""
        return super().eof_received() if self._is_counted and self.session else None

    def connection_lost(self, error: Exception | None) -> None:
        """Stop counting the connection, once."""
        if self._is_counted:
            self._is_counted = False
            self._service.limits.leave(self._address, was_signed_in=self._program() is not None)
            if self.session is not None:  # else it ended before its TLS began
                super().connection_lost(error)

    def _program(self) -> Program | None:
        data = self.session.auth_data if self.session else None
        return data if isinstance(data, Program) else None

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Restart the time-out after a command; before the sign-in it is SIGN_IN_SECONDS in all, and not restarted."""
        if self._program() is not None:
            super()._reset_timeout(duration)
        elif self._timeout_handle is None:
            super()._reset_timeout(SIGN_IN_SECONDS)

    def _timeout_cb(self) -> None:
        """End the connection now. close(), as in aiosmtpd, would wait for ever for a client that does not read, and
        within a TLS handshake asyncio does not say that the connection is lost."""
        if transport := self._original_transport or self.transport:
            cast(asyncio.Transport, transport).abort()
        self.connection_lost(None)

    def _getaddr(self, arg: str | None) -> tuple[str | None, str | None]:
        """The address and the parameters of MAIL and RCPT; the handlers check the address.

        aiosmtpd asks email._header_value_parser, which is slow and raises five kinds of errors.
        """
        found = _PATH.fullmatch((arg or "").strip())
        return (found[1] or found[2] or "<>", found[3] or "") if found else (None, None)

    async def smtp_STARTTLS(self, arg: str) -> None:
        """STARTTLS (RFC 3207), once: aiosmtpd would begin TLS within TLS, and forget who has signed in."""
        if self._tls_protocol is None:
            await super().smtp_STARTTLS(arg)
        else:
            await self.push("503 5.5.1 TLS is on already")

    async def challenge_auth(self, *args: Any, **kwargs: Any) -> Any:
        """Ask for the next line of AUTH; aiosmtpd lets one that is too long be an error of ours."""
        try:
            return await super().challenge_auth(*args, **kwargs)
        except ValueError:  # of asyncio's readline, which has dropped what was read
            await self.push("500 5.5.6 The line is too long")
            return MISSING

    async def smtp_AUTH(self, arg: str) -> None:
        """AUTH (RFC 4954). Names of mechanisms have no case; aiosmtpd knows them in upper case only."""
        mechanism, _, initial = (arg or "").partition(" ")  # mechanism names are compared without case (RFC 4422 3.1)
        await super().smtp_AUTH(f"{mechanism.upper()} {initial}".strip())

    async def auth_PLAIN(self, _: Any, args: list[str]) -> AuthResult:
        """AUTH PLAIN (RFC 4616); the token is checked on a thread."""
        return await self._checked(await super().auth_PLAIN(_, args))

    async def auth_LOGIN(self, _: Any, args: list[str]) -> AuthResult:
        """AUTH LOGIN, which is in no RFC and which some programs know alone; checked as PLAIN."""
        return await self._checked(await super().auth_LOGIN(_, args))

    async def _checked(self, given: AuthResult) -> AuthResult:
        if not given.success or not isinstance(given.auth_data, LoginPassword):
            return given
        login, secret = (part.decode("utf-8", "replace") for part in given.auth_data)
        try:
            program = await in_thread(self._service, acceptance.sign_in, login, secret, self._address)
        except SubmissionRefused as refusal:
            return AuthResult(success=False, handled=False, message=str(refusal))
        if self.session is not None:
            self.session.auth_data = program  # type: ignore[assignment]
        self._service.limits.sign_in()
        self._reset_timeout()
        return AuthResult(success=True, auth_data=program)

    async def smtp_MAIL(self, arg: str | None) -> None:
        """MAIL with DSN parameters, which aiosmtpd does not know (it also changes all to upper case). They are kept in
        the envelope's `mail_options`."""
        await self._without_dsn(arg, dsn_parameters.OF_MAIL, super().smtp_MAIL, "mail_options")

    async def smtp_RCPT(self, arg: str | None) -> None:
        """RCPT with DSN parameters; `rcpt_options` has one text for each accepted recipient."""
        await self._without_dsn(arg, dsn_parameters.OF_RCPT, super().smtp_RCPT, "rcpt_options")

    async def _without_dsn(
        self, arg: str | None, known: dsn_parameters.Known, say: Callable[[str | None], Awaitable[None]], kept: str
    ) -> None:
        try:
            rest, found = dsn_parameters.taken_out(arg or "", known)
        except ValueError as error:
            await self.push(reply("501 5.5.4", error))
            return
        before = self._taken()
        await say(rest or None)
        if self.envelope is not None and self._taken() != before:
            getattr(self.envelope, kept).append(found)

    def _taken(self) -> tuple[str | None, int]:
        """(sender, number of recipients): it changes when MAIL or RCPT is accepted."""
        return (self.envelope.mail_from, len(self.envelope.rcpt_tos)) if self.envelope else (None, 0)

    async def smtp_DATA(self, arg: str) -> None:
        """DATA (RFC 5321 4.1.1.4): read the mail within limits, save it, and reply with what came of it."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        if self.envelope is None or not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Say MAIL and RCPT first")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        self._reset_timeout(MAIL_SECONDS)
        await self.push("354 End the mail with a line that holds a dot alone")
        try:
            status = await self._read_and_accept()
        finally:
            self._set_post_data_state()  # type: ignore[no-untyped-call]
            if self.transport is not None:  # None when the client has disconnected
                self._reset_timeout()
        await self.push(status)

    async def _read_and_accept(self) -> str:
        """Read the content after DATA and return the reply. A refused mail is read to its end too, and discarded."""
        content, limits = bytearray(), self._service.limits
        size = reserved = 0
        refusal = ""
        try:
            while (line := await self._line()) != b".\r\n":
                size += len(line)
                if not line:
                    refusal = TOO_LONG
                elif size > limits.largest_mail:
                    refusal = TOO_LARGE
                elif not refusal and not limits.reserve(len(line)):
                    refusal = NO_ROOM
                if refusal:
                    content.clear()
                    continue
                reserved += len(line)
                content += line[1:] if line.startswith(b".") else line
            return refusal or await self._call_handler_hook("DATA", bytes(content))
        finally:
            limits.free(reserved)

    async def _line(self) -> bytes:
        """The next line with its CRLF; b"" for one that is too long. Only CRLF ends a line, against SMTP smuggling."""
        is_too_long = False
        while True:
            try:
                line = await self._reader.readuntil(b"\r\n")
                return b"" if is_too_long else line
            except asyncio.LimitOverrunError as error:
                await self._reader.read(error.consumed)
                is_too_long = True


def _as_given(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    """aiosmtpd's authenticator: return the credentials as given. Protocol._checked checks them on a thread."""
    return AuthResult(success=True, auth_data=data)
