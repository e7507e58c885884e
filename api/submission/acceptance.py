"""The database work of submission. These functions block, and are called on threads, never in the event loop."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from api import tokens
from api.models import Scope
from api.tokens import TokenRefused
from mailbox.logs import event
from mailbox.mime.addresses import same
from outbox.compose import sizes, submit
from outbox.compose.senders import own_addresses
from outbox.compose.submitted_mail import Submitted
from outbox.errors import OutboxError, StorageFailed
from outbox.models import AttachmentPolicy
from outbox.tasks import delivery as delivery_tasks

P = ParamSpec("P")
R = TypeVar("R")
logger = logging.getLogger(__name__)
LONGEST_WORDS = 400
_PLAIN_QUOTES = str.maketrans("“”‘’…", "\"\"''.")  # noqa: RUF001
WRONG_NAME = "The user name must be the address of an account that this token may send for"
AWAY = "The database is away: try again"


@dataclass(frozen=True)
class Program:
    """A signed-in program: its token, its IP address, and the account it sends for."""

    secret: str
    address: str
    account_id: int
    email: str
    addresses: frozenset[str] = frozenset()  # allowed in MAIL FROM, in the form that `same` compares


class SubmissionRefused(Exception):
    """The command is refused; str() is the whole SMTP reply."""


def reply(code: str, words: object) -> str:
    """A reply of one line in ASCII; other text needs a client that has asked for SMTPUTF8 (RFC 6531 3.7.4.2)."""
    text = " ".join(str(words).split()).translate(_PLAIN_QUOTES)[:LONGEST_WORDS]
    return f"{code} {text}".encode("ascii", "replace").decode("ascii")


def plain_address(address: str) -> str:
    """The address; an IPv4 address mapped to IPv6 (RFC 4291, 2.5.5.2) as plain IPv4."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(getattr(found, "ipv4_mapped", None) or found)


def with_connection(ask: Callable[P, R]) -> Callable[P, R]:
    """Close a broken or old database connection before and after the call: threads have no request that would do it."""

    @wraps(ask)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        close_old_connections()
        try:
            return ask(*args, **kwargs)
        finally:
            close_old_connections()

    return asked


@with_connection
def sign_in(login: str, secret: str, address: str) -> Program:
    """The program of this user name (the account's main address) and password (a token with the scope send).

    address: its IP address. Raises SubmissionRefused: 535 for wrong credentials, 454 for a later try (RFC 4954 6).
    """
    try:
        caller = tokens.authenticate(secret, address, timezone.now())
        accounts = caller.accounts(Scope.SEND)
        found = accounts.with_address(login).first() or next(
            (each for each in accounts if same(each.email) == same(login)), None
        )
        own = frozenset(map(same, own_addresses(found))) if found else frozenset()
    except TokenRefused as error:
        if error.status is HTTPStatus.TOO_MANY_REQUESTS:
            raise SubmissionRefused(reply("454 4.7.0", error)) from None
        raise SubmissionRefused(reply("535 5.7.8", error)) from None
    except DatabaseError as error:
        event(logger, "submission_database_away", logging.WARNING, error=str(error))
        raise SubmissionRefused(reply("454 4.7.0", AWAY)) from None
    if found is None:
        raise SubmissionRefused(reply("535 5.7.8", WRONG_NAME))
    return Program(secret, address, found.pk, found.email, own)


@with_connection
def largest_mail() -> int:
    """The bytes of the largest mail that the attachment policy allows; 0 if the database does not say."""
    try:
        return sizes.largest_mail(AttachmentPolicy.current().max_size_bytes)
    except DatabaseError as error:
        event(logger, "submission_database_away", logging.WARNING, error=str(error))
        return 0


@with_connection
def accept(program: Program, given: Submitted) -> str:
    """Save the mail, and return the reply to its end: 250 only when row and raw bytes are durable.

    Whether the token is still valid and within its rate is checked here, once a mail, and counted.
    """
    try:
        caller = tokens.authenticate(program.secret, program.address, timezone.now())
        if not caller.covers(Scope.SEND, program.account_id):
            return reply("550 5.7.1", f"This token may not send for {program.email} any more.")
        token = caller.token
        name = f"{token.name} (token {token.pk}), SMTP"
        pk = submit.submit(program.account_id, given, user=token.user, program=name, now=timezone.now())
    except TokenRefused as error:
        return reply("451 4.7.1" if error.status is HTTPStatus.TOO_MANY_REQUESTS else "550 5.7.1", error)
    except (StorageFailed, DatabaseError) as error:
        event(logger, "submission_not_stored", logging.WARNING, account=program.account_id, error=str(error))
        return reply("451 4.3.0", AWAY if isinstance(error, DatabaseError) else error)
    except OutboxError as error:
        return reply("550 5.7.1", error)
    _have_it_delivered(program.account_id)
    return f"250 2.0.0 Accepted as outbox {pk}"


def _have_it_delivered(account_id: int) -> None:
    """Queue the delivery. Failures are ignored: the mail is durable, and the workers' sweep finds it."""
    try:
        delivery_tasks.queue_delivery()
    except Exception as error:
        event(logger, "submission_not_queued", logging.WARNING, account=account_id, error=str(error))
