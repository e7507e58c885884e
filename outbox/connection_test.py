""" "Test connection": sign in on both transports, each for itself, and keep the servers' own words."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.conf import settings
from django.utils import timezone

from mailbox.accounts import seen_certificates
from mailbox.accounts.troubleshooting import FailureCode
from mailbox.credentials import DecryptionFailed
from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, SignInRefused, without_secrets
from mailbox.imap.session import ImapSession
from mailbox.leases.held_lease import held
from mailbox.models import Account, ConnectionTest, Lease, Transport
from mailbox.oauth import refresh
from outbox.delivery import recovery
from outbox.delivery.database import complete
from outbox.delivery.endpoint import endpoint_of
from outbox.delivery.timeouts import Times
from outbox.retry.classification import classify
from outbox.retry.faults import Fault, Kind, Verdict
from outbox.smtp.connection import SmtpFailure
from outbox.smtp.session import SmtpSession

logger = logging.getLogger(__name__)
WAIT_SECONDS = 20.0


def run(test_id: int) -> ConnectionTest | None:
    """Run a ConnectionTest and save its result; None if it was run already, or deleted."""
    claimed = ConnectionTest.objects.filter(pk=test_id, started_at=None).update(started_at=timezone.now())
    if not claimed:  # deleted, or the task was run twice
        return None
    test = ConnectionTest.objects.select_related("account__imap", "account__smtp").get(pk=test_id)
    account = test.account
    test.imap_ok, test.imap_reply, test.imap_code = _tried(account.imap, lambda: _imap_words(account))
    # The page shows this result while the other server is tried.
    test.save(update_fields=["imap_ok", "imap_reply", "imap_code"])
    test.smtp_ok, test.smtp_reply, test.smtp_code = _tried(account.smtp, lambda: _smtp_words(account))
    test.finished_at = timezone.now()
    test.save(update_fields=["smtp_ok", "smtp_reply", "smtp_code", "finished_at"])
    if test.smtp_ok:
        recovery.lift_sign_in_holds(account.pk, timezone.now())
    return test


def _tried(transport: Transport, sign_in: Callable[[], str]) -> tuple[bool, str, str]:
    """(ok, the server's words, FailureCode or ""). Saves on the transport whether the credentials were accepted."""
    try:
        words = sign_in()
    except DecryptionFailed as error:
        transport.mark_needs_sign_in(str(error), timezone.now())
        return False, str(error), FailureCode.KEY
    except SignInRefused as error:
        transport.mark_needs_sign_in(error.reply or str(error), timezone.now())
        return False, str(error), FailureCode.SIGN_IN
    except MailError as error:
        codes = {"network": FailureCode.NETWORK, "throttled": FailureCode.THROTTLED}
        return False, str(error), codes.get(error.code, FailureCode.PROVIDER)
    except SmtpFailure as failure:
        code = code_of(failure.fault)
        if code == FailureCode.SIGN_IN:
            transport.mark_needs_sign_in(failure.fault.reply, timezone.now())
        return False, failure.fault.reply, code
    except Exception as error:
        # Go on with the other server; the page must get a result.
        logger.exception("connection_test_failed")
        return False, f"Unexpected {type(error).__name__}: see the workers' log.", FailureCode.UNEXPECTED
    finally:
        seen_certificates.note(transport.host, transport.port)
    transport.mark_signed_in()
    return True, words, ""


def code_of(fault: Fault) -> FailureCode:
    """The code by which troubleshooting finds its advice."""
    if fault.kind is not Kind.REPLY:  # what we found ourselves is about TLS and hosts, as the network's words are
        return FailureCode.NETWORK
    verdict = classify(fault)
    if verdict in (Verdict.TRANSIENT, Verdict.THROTTLED):
        return FailureCode.THROTTLED
    return FailureCode.SIGN_IN if verdict is Verdict.SIGN_IN else FailureCode.PROVIDER


def _imap_words(account: Account) -> str:
    refresh.ensure_fresh(account, "imap")
    endpoint = account.imap_endpoint()
    with (  # the account's third connection, besides sync and push: providers limit them
        held(account.pk, Lease.Purpose.SENT, wait_seconds=WAIT_SECONDS),
        ImapSession.open(
            endpoint,
            connect_timeout=settings.CONNECT_TIMEOUT_SECONDS,
            command_timeout=settings.COMMAND_TIMEOUT_SECONDS,
        ) as session,
    ):
        return without_secrets(session.greeting, endpoint.secrets())


def _smtp_words(account: Account) -> str:
    # Not asyncio.run, which fails on a thread with a running event loop (ASGI servers, Playwright).
    return complete(_greeting(endpoint_of(account)))


async def _greeting(endpoint: Endpoint) -> str:
    async with await SmtpSession.open(endpoint, patience=Times.from_settings().patience) as session:
        return session.greeting


def starttls_words(endpoint: Endpoint) -> str:
    """Try STARTTLS with the server, without signing in; returns the version of TLS. Raises SmtpFailure."""
    return complete(_tls_version(endpoint))


async def _tls_version(endpoint: Endpoint) -> str:
    patience = Times.from_settings().patience
    async with await SmtpSession.open(endpoint, patience=patience, signs_in=False) as session:
        return session.tls_version
