"""The IMAP connection for work in Sent: at most one for an account, beside those of its sync and its push.

Providers refuse accounts with too many connections, so there are never more than these three.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet

from mailbox.errors import Busy, NetworkError, SignInRefused
from mailbox.imap.session import ImapSession
from mailbox.keep_alive import LEASE_SECONDS, Act, keep_alive
from mailbox.models import Account, Lease
from mailbox.sync import account_session
from outbox.models import SentCopy, SentLookup

Clock = Callable[[], datetime]
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
    account_id: int
    token: str
    clock: Clock

    def renew(self, upcoming_bytes: int = 0) -> None:
        """Renew the lease; raises Busy if it had lapsed and another worker took it."""
        seconds = lease_seconds(upcoming_bytes)
        if not Lease.renew(self.account_id, Lease.Purpose.SENT, self.token, seconds=seconds, now=self.clock()):
            raise Busy("Another worker took over the work in this account's Sent folder.")


@contextmanager
def signed_in(account: Account, clock: Clock) -> Iterator[SentSession]:
    """Take the account's lease for work in Sent and sign in. Raises Busy, or MailError from the sign-in.

    A server in backoff is not contacted.
    """
    check_askable(account, clock())
    holder = f"{platform.node()}/{os.getpid()}"
    token = Lease.acquire(account.pk, Lease.Purpose.SENT, holder, seconds=lease_seconds(), now=clock())
    if token is None:
        raise Busy("Another worker is at work in this account's Sent folder.")
    try:
        renewing = account_session.renewing(token, clock, Lease.Purpose.SENT)
        with keep_alive.during(renewing), account_session.connect(account, clock) as imap:
            yield SentSession(imap, account.pk, token, clock)
    finally:
        Lease.release(account.pk, Lease.Purpose.SENT, token)


def check_askable(account: Account, now: datetime) -> None:
    """Raise SignInRefused if the server refused the last sign-in, NetworkError while it is in backoff."""
    if account.imap.needs_sign_in_since:
        raise SignInRefused(f"the IMAP server refused the sign-in of {account.email}; enter its credentials again.")
    if account.imap.next_allowed_at and account.imap.next_allowed_at > now:
        raise NetworkError(f"the IMAP server is left alone for a while: {account.imap.last_reply}")
