"""What goes on beside a running attempt: its leases are renewed, its progress and the server's words are kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbox import logs
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.models import Lease
from outbox.delivery import claims
from outbox.delivery.claims import Claim
from outbox.delivery.database import Database
from outbox.delivery.timeouts import LONGEST_LEASE_SECONDS
from outbox.retry.faults import AFTER_DOT, OPENING, Phase
from outbox.smtp.connection import Watch

logger = logging.getLogger(__name__)
MAX_TRANSCRIPT = 300  # entries
STALL_SECONDS = 2.0  # of silence, after which nobody else waits for this server
RENEW_SECONDS = 10.0  # between signs of life of an attempt that waits
Clock = Callable[[], datetime]


class ClaimLost(Exception):
    """Another worker recovered our row: leave it alone at once. Nothing was sent."""


@dataclass
class SendLease:
    """The right to be the account's one sender. Renewed while it is used; losing it is no harm to a claimed row."""

    account_id: int
    token: str
    seconds: float
    clock: Clock
    renewed_at: datetime
    database: Database

    @classmethod
    def acquire(
        cls, account_id: int, holder: str, seconds: float, clock: Clock, database: Database
    ) -> SendLease | None:
        """Within `Database.run`. None when another has the account."""
        now = clock()
        token = Lease.acquire(account_id, Lease.Purpose.SEND, holder, seconds=seconds, now=now)
        if token is None and _end_impossible_lease(account_id, now):
            token = Lease.acquire(account_id, Lease.Purpose.SEND, holder, seconds=seconds, now=now)
        return cls(account_id, token, seconds, clock, now, database) if token else None

    def renew_in_time(self) -> bool:
        """Renew when a third of it is gone; False when another took it, or the database does not answer."""
        now = self.clock()
        if now - self.renewed_at < timedelta(seconds=self.seconds / 3):
            return True
        try:
            kept = self.database.run(
                lambda: Lease.renew(self.account_id, Lease.Purpose.SEND, self.token, seconds=self.seconds, now=now)
            )
        except DATABASE_TROUBLE as error:
            logs.event(logger, "lease_not_renewed", logging.WARNING, account=self.account_id, error=str(error))
            return False
        self.renewed_at = now if kept else self.renewed_at
        return kept

    def release(self) -> None:
        try:
            self.database.run(lambda: Lease.release(self.account_id, Lease.Purpose.SEND, self.token))
        except DATABASE_TROUBLE as error:  # it ends by itself
            logs.event(logger, "lease_not_released", logging.WARNING, account=self.account_id, error=str(error))


def _end_impossible_lease(account_id: int, now: datetime) -> bool:
    """A clock that was ahead has taken it: no lease of ours is so long."""
    longest = now + timedelta(seconds=LONGEST_LEASE_SECONDS)
    found = Lease.objects.filter(account_id=account_id, purpose=Lease.Purpose.SEND, expires_at__gt=longest)
    return bool(found.delete()[0])


class AttemptWatch(Watch):
    """Keeps the row's lease while the session works on it, and how far the attempt came.

    The lease is short, so that a row whose worker died is soon seen, and renewed by whoever lives: while an answer is
    waited for, and while a mail is being written. `stalled` is called while the server keeps us waiting.
    """

    def __init__(
        self,
        claim: Claim,
        lease: SendLease,
        *,
        lease_seconds: float,
        dot_lease_seconds: float,
        clock: Clock,
        stalled: Callable[[], Awaitable[None]],
    ) -> None:
        """The row is held as its claim says, and for `lease_seconds` after each renewal, from "dot" on for
        `dot_lease_seconds`."""
        self._claim, self._lease, self._clock = claim, lease, clock
        self._seconds, self._dot_seconds = lease_seconds, dot_lease_seconds
        self._stalled = stalled
        self._held, self._kept_at = claim.lease_seconds, claim.claimed_at
        self._moved_at = time.monotonic()
        self._is_lapsed = False  # after "dot": the row is a question, which only our answer or a person settles
        self.phase: Phase = Phase.CLAIM
        self.dot_committed = False
        self.transcript: list[dict[str, str]] = []

    @property
    def is_stalled(self) -> bool:
        """The server has not moved us on for a while, at whatever step."""
        return time.monotonic() - self._moved_at >= STALL_SECONDS

    @property
    def may_be_taken(self) -> bool:
        """The end of the mail is with the server, or on its way: only its answer tells whether it took the mail."""
        return self.phase in AFTER_DOT

    def committed_dot(self) -> None:
        self.dot_committed, self._held, self._kept_at = True, self._dot_seconds, self._clock()

    async def reached(self, phase: Phase) -> None:
        """Opening a session is slow, so each step is written; MAIL and RCPT only when they take their time.

        Raises ClaimLost, before the end of a mail is written too: a worker that was stopped for a while must not send
        what a person was asked about meanwhile.
        """
        if phase is Phase.DOT and self._is_old(self._held / 2):
            await self._extend(phase)
        self.phase, self._moved_at = phase, time.monotonic()
        if phase in OPENING:  # names, connection and TLS do not tell that they wait
            self._lease.renew_in_time()
        if not self.dot_committed and (phase in OPENING or self._is_old(1)):
            await self._extend(phase)

    def heard(self, phase: Phase, command: str, reply: str) -> None:
        self._moved_at = time.monotonic()
        if len(self.transcript) < MAX_TRANSCRIPT:
            at = self._clock().isoformat()
            self.transcript.append({"at": at, "phase": phase.value, "command": command, "reply": reply})

    async def waiting(self) -> None:
        """Raises ClaimLost before the end of the mail is written; after it the answer is worth waiting for."""
        self._lease.renew_in_time()
        if self.is_stalled:
            await self._stalled()
        if self._is_old(min(RENEW_SECONDS, self._held / 3)) and not self._is_lapsed:
            await self._extend(self.phase)

    def _is_old(self, seconds: float) -> bool:
        return self._clock() - self._kept_at > timedelta(seconds=seconds)

    async def _extend(self, phase: Phase) -> None:
        now, seconds = self._clock(), self._dot_seconds if self.dot_committed else self._seconds
        written = Phase.DOT if self.dot_committed else phase
        try:
            kept = await self._lease.database.write(
                lambda: claims.extend(self._claim, written.value, lease_seconds=seconds, now=now)
            )
        except DATABASE_TROUBLE as error:
            # The "dot" commit decides; until then a database that is away for a moment costs nothing. After it, the
            # row may become a question, which this attempt still settles.
            logs.event(logger, "claim_not_extended", logging.WARNING, outbox_id=self._claim.outbox_id, error=str(error))
            if phase is Phase.DOT and self.phase is not Phase.DOT and self._is_old(self._held):
                raise ClaimLost from error
            return
        if kept:
            self._held, self._kept_at = seconds, now
        elif self.may_be_taken:
            self._is_lapsed = True
        else:
            raise ClaimLost
