"""What SMTP commands of a program come to: aiosmtpd calls a handler's method for each."""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException

from api.submission import acceptance
from api.submission.acceptance import Program, reply
from api.submission.limits import SubmissionLimits
from mailbox.logs import event
from mailbox.mime.addresses import AddressError, canonical, same
from outbox.compose.addresses import MAX_RECIPIENTS
from outbox.compose.submitted_mail import Submitted

logger = logging.getLogger(__name__)
R = TypeVar("R")


@dataclass(frozen=True)
class Service:
    """What all connections of the server share."""

    limits: SubmissionLimits
    threads: Executor
    hostname: str
    tls: ssl.SSLContext


async def in_thread(service: Service, ask: Callable[..., R], *args: object) -> R:
    """Call `ask`, which may block or query, on one of the service's threads; returns or raises what it does."""
    call = functools.partial(ask, *args)
    return await asyncio.get_running_loop().run_in_executor(service.threads, call)


class Handler:
    """aiosmtpd calls handle_NAME for each command; the result is the reply."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Announce PIPELINING (RFC 2920) and DSN (RFC 3461) beside aiosmtpd's own extensions."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", "250-DSN", responses[-1]]

    async def handle_MAIL(
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """550 for an address that the program's account does not have. All else is checked at the mail's end."""
        program: Program = session.auth_data  # type: ignore[assignment]
        if same(address) not in program.addresses:
            return reply("550 5.7.1", f"MAIL FROM must be {program.email} or another address of this account")
        envelope.mail_from = address
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """452 beyond MAX_RECIPIENTS, 553 for an address that is none or that needs SMTPUTF8 (RFC 6531) and did not
        ask for it."""
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients: send the mail to the others once more"
        try:
            spec = canonical(address)
        except AddressError:
            return reply("553 5.1.3", f"{address[:100]} is no address")
        if not spec.isascii() and not envelope.smtp_utf8:
            return "553 5.6.7 Say SMTPUTF8 with MAIL for such an address"
        envelope.rcpt_tos.append(spec)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope, content: bytes) -> str:
        """Save the mail as an outbox row; 250 only after its commit."""
        given = Submitted(
            content,
            tuple(envelope.rcpt_tos),
            envelope.smtp_utf8,
            dsn_parameters=" ".join(envelope.mail_options),
            dsn_parameters_of=tuple(envelope.rcpt_options),
        )
        with self._service.limits.write():
            return await in_thread(self._service, acceptance.accept, session.auth_data, given)

    async def handle_exception(self, error: Exception) -> str:
        """Log the error; 451, upon which programs try again."""
        if not isinstance(error, TLSSetupException):  # the client refused our certificate, or did not speak TLS
            event(logger, "submission_error", logging.ERROR, error=repr(error))
        return "451 4.3.0 An error on our side: try again"
