"""Watches a running attempt: renews its leases, saves its progress, and keeps the transcript."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mailbox import logs
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.models import Lease
from outbox.delivery import claims
from outbox.delivery.claims import Claim
from outbox.delivery.database import Database
from outbox.delivery.timeouts import LONGEST_LEASE_SECONDS, Times
from outbox.retry.faults import AFTER_DOT, Phase
from outbox.smtp.mail import Watch

logger = logging.getLogger(__name__)
MAX_TRANSCRIPT = 300  # entries
STALL_SECONDS = 2.0  # without progress; then the session counts as stalled, and others get its place
SHOWN_SECONDS = 1.0  # between two phases that are saved for pages: most attempts end within it
RENEW_SECONDS = 10.0  # longest interval between two renewals of the row's lease
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present time. Not timezone.now, which takes four times as long: a mail needs it sixteen times."""
    return datetime.now(UTC)


class ClaimLost(Exception):
    """Another worker has recovered our row: leave it alone at once. The end of the mail was not sent."""


def _is_older(then: datetime, seconds: float, now: datetime) -> bool:
    """Whether more than `seconds` have passed. Also if `then` is yet to come: the clock was set back, as of a machine
    that slept, and nobody knows how long ago it was."""
    return not timedelta() <= now - then <= timedelta(seconds=seconds)


@dataclass
class SendLease:
    """The lease that makes us the account's one sender. A claimed row has its own lease, so losing this one is no harm
    to it."""

    account_id: int
    token: str
    seconds: float
    clock: Clock
    renewed_at: datetime
    database: Database

    @classmethod
    def acquire(cls, account_id: int, seconds: float, clock: Clock, database: Database) -> SendLease | None:
        """Take the lease; None when another worker holds it. Call it within `Database.run`."""
        now, holder = clock(), claims.worker_name()
        token = Lease.acquire(account_id, Lease.Purpose.SEND, holder, seconds=seconds, now=now)
        longest = now + timedelta(seconds=LONGEST_LEASE_SECONDS)
        wrong = Lease.objects.filter(account_id=account_id, purpose=Lease.Purpose.SEND, expires_at__gt=longest)
        if token is None and wrong.delete()[0]:  # it ends later than any can: it was taken by a wrong clock
            token = Lease.acquire(account_id, Lease.Purpose.SEND, holder, seconds=seconds, now=now)
        return cls(account_id, token, seconds, clock, now, database) if token else None

    def renew_in_time(self) -> bool:
        """Renew the lease when a third of its time is over; False when it was lost, or the database failed."""
        now = self.clock()
        if not _is_older(self.renewed_at, self.seconds / 3, now):
            return True
        kept = self._tried(lambda: Lease.renew(*self._key, seconds=self.seconds, now=now), "lease_not_renewed")
        self.renewed_at = now if kept else self.renewed_at
        return kept

    def release(self) -> None:
        """Give the lease back. Raises nothing: if the database fails, the lease expires by itself."""
        self._tried(lambda: Lease.release(*self._key), "lease_not_released")

    @property
    def _key(self) -> tuple[int, str, str]:
        return self.account_id, Lease.Purpose.SEND, self.token

    def _tried(self, act: Callable[[], bool], failure: str) -> bool:
        try:
            return self.database.run(act)
        except DATABASE_TROUBLE as error:
            logs.event(logger, failure, logging.WARNING, account=self.account_id, error=str(error))
            return False


class AttemptWatch(Watch):
    """Renews the row's lease while the session works on it, and saves the phase that the attempt has reached.

    The lease is short, so that the row of a dead worker is found soon. A live worker renews it while it waits for a
    reply and while it writes a mail.
    """

    def __init__(self, claim: Claim, lease: SendLease, times: Times) -> None:
        self.claim, self._lease, self._times, self._clock = claim, lease, times, lease.clock
        self._held, self._kept_at = claim.lease_seconds, claim.claimed_at
        self._moved_at = time.monotonic()
        self.refused_before: Collection[str] = ()  # recipients that refused an earlier attempt for now
        self._is_lapsed = False  # the lease was lost after "dot": the row is uncertain until our answer or a person
        self.phase = self._shown = Phase.CLAIM  # the phase reached, and the one that pages show, as it was saved
        self.dot_committed = False
        self.transcript: list[dict[str, str]] = []

    @property
    def is_stalled(self) -> bool:
        """Whether the server has made no progress for STALL_SECONDS."""
        return time.monotonic() - self._moved_at >= STALL_SECONDS

    @property
    def may_be_taken(self) -> bool:
        """Whether the end of the mail was written, so that only the server's answer tells whether it took the mail."""
        return self.phase in AFTER_DOT

    def committed_dot(self) -> None:
        """Note that "dot" was just committed: from now on the row has the longer lease, and its phase stays DOT."""
        self.dot_committed, self._held, self._kept_at = True, self._times.dot_lease, self._clock()

    async def reached(self, phase: Phase) -> None:
        """Note that a phase begins. Save the sign-in, so that pages show how far a worker came that is killed soon
        after it; of the others those that begin a second after the last was saved.

        Raises ClaimLost, also just before the end of the mail is written: a worker that was frozen must not send a mail
        about which a person was asked meanwhile.
        """
        if phase is Phase.DOT and self._is_old(self._held / 2):
            await self._extend(phase)
        self.phase, self._moved_at = phase, time.monotonic()
        if not self.dot_committed and (phase is Phase.AUTH or self._is_old(SHOWN_SECONDS)):
            await self._extend(phase)

    def heard(self, phase: Phase, command: str, reply: str) -> None:
        """Add a command and its reply to the transcript, up to MAX_TRANSCRIPT entries; an answer counts as progress."""
        self._moved_at = time.monotonic()
        if len(self.transcript) < MAX_TRANSCRIPT:
            at = self._clock().isoformat()
            self.transcript.append({"at": at, "phase": phase.value, "command": command, "reply": reply})

    async def waiting(self) -> None:
        """Renew the leases in time, and save the phase for pages. Raises ClaimLost before the end of the mail; after
        it, the answer still counts."""
        self._lease.renew_in_time()
        is_shown = self.dot_committed or self.phase is self._shown
        if self._is_old(min(RENEW_SECONDS, self._held / 3) if is_shown else SHOWN_SECONDS) and not self._is_lapsed:
            await self._extend(self.phase)

    def _is_old(self, seconds: float) -> bool:
        return _is_older(self._kept_at, seconds, self._clock())

    async def _extend(self, phase: Phase) -> None:
        now, seconds = self._clock(), self._times.dot_lease if self.dot_committed else self._times.claim_lease
        written = Phase.DOT if self.dot_committed else phase
        try:
            kept = await self._lease.database.write(
                lambda: claims.extend(self.claim, written.value, lease_seconds=seconds, now=now)
            )
        except DATABASE_TROUBLE as error:
            # Before "dot" is committed, a database that fails for a moment does no harm. Afterwards the row may become
            # uncertain, and this attempt's answer still settles it.
            logs.event(logger, "claim_not_extended", logging.WARNING, outbox_id=self.claim.outbox_id, error=str(error))
            if phase is Phase.DOT and self.phase is not Phase.DOT and self._is_old(self._held):
                raise ClaimLost from error
            return
        if kept:
            self._held, self._kept_at, self._shown = seconds, now, phase
        elif self.may_be_taken:
            self._is_lapsed = True
        else:
            raise ClaimLost
