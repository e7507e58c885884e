"""The IMAP connection of one account's sync, opened under the lease that lets one sync run at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db import transaction

from mailbox.accounts import seen_certificates
from mailbox.clocks import LONGEST_WAIT
from mailbox.credentials import DecryptionFailed
from mailbox.db import deadlocks
from mailbox.errors import MailError, NetworkError, OverQuota, SignInRefused, Throttled
from mailbox.imap.session import ImapSession
from mailbox.jitter import jittered
from mailbox.leases.held_lease import Clock, HeldLease, held
from mailbox.logs import event, provider_words
from mailbox.models import Account, Lease, SyncState
from mailbox.oauth import refresh

logger = logging.getLogger(__name__)
T = TypeVar("T")
QUOTA_PAUSE_SECONDS = 3600.0


def backoff_wait(failures: int, stated: float | None = None) -> float:
    """The seconds to wait after a failure that `failures` others preceded; at least `stated`, as the server asked.

    PRX_EMAIL_SYNC_BASE_BACKOFF_SECONDS, doubled by each failure up to PRX_EMAIL_SYNC_MAX_BACKOFF_SECONDS, with jitter,
    so that accounts that failed together do not all come back at one instant. At most LONGEST_WAIT, whatever the server
    asks for.
    """
    grown: float = settings.SYNC_BASE_BACKOFF_SECONDS * 2 ** min(failures, 30)
    longest = LONGEST_WAIT.total_seconds()
    least = min(stated or 0, longest)
    return jittered(min(max(min(grown, settings.SYNC_MAX_BACKOFF_SECONDS), least), longest), at_least=least)


@dataclass(frozen=True)
class AccountSession:
    """A signed-in IMAP connection and the lease that makes it the account's only sync.

    states: folder name -> state, read when the account was claimed, for the first look at each folder.
    """

    account: Account
    imap: ImapSession
    lease: HeldLease
    states: dict[str, SyncState] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        """The lease's clock, and so that of all that is written under it."""
        return self.lease.clock

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction that writes: it renews the lease first. Raises Busy when another worker has taken it."""
        with transaction.atomic():
            self.lease.renew()
            yield

    def committed(self, write: Callable[[], T]) -> T:
        """transaction() for one act, which is done again after a deadlock."""

        def under_lease() -> T:
            self.lease.renew()
            return write()

        return deadlocks.committed(under_lease)


@contextmanager
def signed_in(account: Account, clock: Clock, *, wait_seconds: float = 0) -> Iterator[AccountSession]:
    """Take the account's sync lease, sign in, and release both at the end.

    Raises Busy when another worker holds the lease for longer than `wait_seconds`, and what connect() raises.
    """
    with (
        held(account.pk, Lease.Purpose.SYNC, clock, wait_seconds=wait_seconds) as lease,
        connect(account, clock) as imap,
    ):
        yield AccountSession(account, imap, lease)


def connect(account: Account, clock: Clock) -> ImapSession:
    """Connect and sign in. Raises MailError, after saving on the transport why, and when the next try may be made."""
    transport = account.imap
    try:
        try:
            refresh.ensure_fresh(account, "imap", clock)
            endpoint = account.imap_endpoint()
        except DecryptionFailed as error:
            raise SignInRefused(str(error)) from error
        return ImapSession.open(
            endpoint,
            connect_timeout=settings.CONNECT_TIMEOUT_SECONDS,
            command_timeout=settings.COMMAND_TIMEOUT_SECONDS,
        )
    except MailError as error:
        name = "sign_in_failed" if isinstance(error, SignInRefused) else "connect_failed"
        event(
            logger, name, logging.WARNING,
            account=account.pk, error_code=error.code, reply=provider_words(str(error)),
        )  # fmt: skip
        if error.alerts:
            transport.note_alert(" ".join(error.alerts), clock())
        if isinstance(error, SignInRefused):
            transport.mark_needs_sign_in(str(error), clock())
        elif isinstance(error, NetworkError | Throttled | OverQuota):
            pause_account(account, error, clock(), transport.failure_count)
        raise
    finally:  # also after a refused sign-in: the server has shown its certificate
        seen_certificates.note(transport.host, transport.port)


def pause_account(account: Account, error: MailError, now: datetime, failures: int = 0) -> None:
    """Put the account's IMAP transport in backoff: by its failures, and at least as long as the server asked for.

    After OverQuota at least an hour, since providers count by the day.
    """
    wait = backoff_wait(failures, error.wait_seconds)
    if isinstance(error, OverQuota):
        wait = max(wait, QUOTA_PAUSE_SECONDS)
    account.imap.mark_unavailable(str(error), now + timedelta(seconds=wait), now)
