"""The IMAP connection for work in Sent: at most one for an account, beside those of its sync and its push.

Providers refuse accounts with too many connections, so there are never more than these three.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet

from mailbox.errors import NetworkError, SignInRefused
from mailbox.imap.session import ImapSession
from mailbox.leases.held_lease import Clock, HeldLease, held
from mailbox.leases.keep_alive import LEASE_SECONDS, Act
from mailbox.models import Account, Lease
from mailbox.sync import account_session
from outbox.models import SentCopy, SentLookup

SLOWEST_BYTES_PER_SECOND = 50_000


def lease_seconds(upcoming_bytes: int = 0) -> float:
    """The length of a lease, in seconds. A living process renews it.

    For an APPEND of `upcoming_bytes` it also covers a slow line: a process that was suspended in it and continues must
    not append a copy that another worker has appended meanwhile.
    """
    if not upcoming_bytes:
        return LEASE_SECONDS
    return 5.0 * settings.COMMAND_TIMEOUT_SECONDS + upcoming_bytes / SLOWEST_BYTES_PER_SECOND


def renewing_claim(rows: QuerySet[SentCopy] | QuerySet[SentLookup], clock: Clock) -> Act:
    """The action for keep_alive that renews the claim of a copy or look-up. rows: that row, filtered by its token."""

    def renew() -> bool:
        ends = clock() + timedelta(seconds=LEASE_SECONDS)
        rows.filter(lease_expires_at__lt=ends).update(lease_expires_at=ends)
        return True

    return renew


@dataclass(frozen=True)
class SentSession:
    """A signed-in connection and the lease that allows it; made by signed_in()."""

    imap: ImapSession
    lease: HeldLease

    @property
    def clock(self) -> Clock:
        """The lease's clock."""
        return self.lease.clock


@contextmanager
def signed_in(account: Account, clock: Clock) -> Iterator[SentSession]:
    """Take the account's lease for work in Sent and sign in. Raises Busy, or MailError from the sign-in.

    A server in backoff is not contacted.
    """
    check_askable(account, clock())
    with held(account.pk, Lease.Purpose.SENT, clock) as lease, account_session.connect(account, clock) as imap:
        yield SentSession(imap, lease)


def check_askable(account: Account, now: datetime) -> None:
    """Raise SignInRefused if the server refused the last sign-in, NetworkError while it is in backoff."""
    if account.imap.needs_sign_in_since:
        raise SignInRefused(f"the IMAP server refused the sign-in of {account.email}; enter its credentials again.")
    if account.imap.next_allowed_at and account.imap.next_allowed_at > now:
        raise NetworkError(f"the IMAP server is left alone for a while: {account.imap.last_reply}")
