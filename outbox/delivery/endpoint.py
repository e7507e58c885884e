"""The account's submission server with fresh credentials, and opening a session with it."""

from __future__ import annotations

from django.db import connections

from mailbox.accounts import seen_certificates
from mailbox.credentials import DecryptionFailed
from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, SignInRefused
from mailbox.models import Account
from mailbox.oauth import refresh
from outbox.delivery.database import Database
from outbox.retry.faults import Fault, Kind, Phase
from outbox.smtp.blocking_calls import in_thread
from outbox.smtp.connection import SmtpFailure, SmtpTimeouts
from outbox.smtp.mail import Watch
from outbox.smtp.session import SmtpSession

SIGN_IN_REFUSED = 535  # RFC 4954, 6


def endpoint_of(account: Account) -> Endpoint:
    """The endpoint, its access token refreshed if necessary. Call it outside of a transaction: it may ask the provider.

    Raises SmtpFailure when the token cannot be refreshed, and credentials.DecryptionFailed.
    """
    try:
        refresh.ensure_fresh(account, "smtp")
    except SignInRefused as error:
        raise SmtpFailure(Fault(Phase.AUTH, Kind.REPLY, str(error), SIGN_IN_REFUSED)) from error
    except MailError as error:
        raise SmtpFailure(Fault(Phase.AUTH, Kind.NETWORK, str(error))) from error
    return account.smtp_endpoint()


async def open_session(account: Account, patience: SmtpTimeouts, watch: Watch, database: Database) -> SmtpSession:
    """Sign in to the account's server. Raises SmtpFailure."""
    # In a thread: a provider that does not answer must not block the event loop.
    endpoint = await in_thread(lambda: _endpoint_apart(account), watch.waiting)
    try:
        return await SmtpSession.open(endpoint, patience=patience, watch=watch)
    finally:  # also after a refused sign-in: the server has shown its certificate
        database.run(lambda: seen_certificates.note(endpoint.host, endpoint.port))


def _endpoint_apart(account: Account) -> Endpoint:
    """endpoint_of() for a thread, with a database connection of its own."""
    try:
        return endpoint_of(account)
    except DecryptionFailed as error:
        raise SmtpFailure(Fault(Phase.AUTH, Kind.REPLY, str(error), SIGN_IN_REFUSED)) from error
    finally:
        connections.close_all()
