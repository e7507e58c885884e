"""What goes on beside a running attempt: its leases are renewed, its progress and the server's words are kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbox import logs
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.models import Lease
from outbox.delivery import claims
from outbox.delivery.claims import Claim
from outbox.retry.policy import Phase
from outbox.smtp.connection import Watch

logger = logging.getLogger(__name__)
MAX_TRANSCRIPT = 300  # entries
STALL_SECONDS = 2.0  # of silence, after which nobody else waits for this server
OPENING = (Phase.CONNECT, Phase.TLS, Phase.AUTH)
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

    @classmethod
    def acquire(cls, account_id: int, holder: str, seconds: float, clock: Clock) -> SendLease | None:
        now = clock()
        token = Lease.acquire(account_id, Lease.Purpose.SEND, holder, seconds=seconds, now=now)
        return cls(account_id, token, seconds, clock, now) if token else None

    def keep(self) -> bool:
        """Renew when a third of it is gone; False when another took it, or the database does not answer."""
        now = self.clock()
        if now - self.renewed_at < timedelta(seconds=self.seconds / 3):
            return True
        try:
            kept = Lease.renew(self.account_id, Lease.Purpose.SEND, self.token, seconds=self.seconds, now=now)
        except DATABASE_TROUBLE as error:
            logs.event(logger, "lease_not_renewed", logging.WARNING, account=self.account_id, error=str(error))
            return False
        self.renewed_at = now if kept else self.renewed_at
        return kept

    def release(self) -> None:
        try:
            Lease.release(self.account_id, Lease.Purpose.SEND, self.token)
        except DATABASE_TROUBLE as error:  # it ends by itself
            logs.event(logger, "lease_not_released", logging.WARNING, account=self.account_id, error=str(error))


class AttemptWatch(Watch):
    """Keeps the row's lease while the session works on it, and how far the attempt came.

    `stalled` is called while the server keeps us waiting.
    """

    def __init__(
        self,
        claim: Claim,
        lease: SendLease,
        *,
        lease_seconds: float,
        held_seconds: float,
        held_since: datetime,
        clock: Clock,
        stalled: Callable[[], None] = lambda: None,
    ) -> None:
        """The row is held for `held_seconds` since `held_since`, and for `lease_seconds` after each renewal."""
        self._claim, self._lease, self._seconds, self._clock = claim, lease, lease_seconds, clock
        self._stalled = stalled
        self._held, self._kept_at = held_seconds, held_since
        self._moved_at = time.monotonic()
        self.phase: Phase = Phase.CLAIM
        self.data_committed = False
        self.transcript: list[dict[str, str]] = []

    @property
    def is_stalled(self) -> bool:
        """The server has not moved us on for a while, at whatever step."""
        return time.monotonic() - self._moved_at >= STALL_SECONDS

    def reached(self, phase: Phase) -> None:
        """Opening a session is slow, so each step is written; MAIL and RCPT only when they take their time."""
        self.phase, self._moved_at = phase, time.monotonic()
        if phase in OPENING:  # names, connection and TLS do not tell that they wait
            self._lease.keep()
        if not self.data_committed and (phase in OPENING or self._is_stale(1)):
            self._extend()

    def heard(self, phase: Phase, command: str, reply: str) -> None:
        self._moved_at = time.monotonic()
        if len(self.transcript) < MAX_TRANSCRIPT:
            at = self._clock().isoformat()
            self.transcript.append({"at": at, "phase": phase.value, "command": command, "reply": reply})

    def waiting(self) -> None:
        """After "data" the row's lease covers the wait for the answer; before it, it is renewed as we wait."""
        self._lease.keep()
        if self.is_stalled:
            self._stalled()
        if not self.data_committed and self._is_stale(self._held / 3):
            self._extend()

    def _is_stale(self, seconds: float) -> bool:
        return self._clock() - self._kept_at > timedelta(seconds=seconds)

    def _extend(self) -> None:
        now = self._clock()
        try:
            kept = claims.extend(self._claim, self.phase.value, lease_seconds=self._seconds, now=now)
        except DATABASE_TROUBLE as error:
            # The "data" commit decides; until then a database that is away for a moment costs nothing.
            logs.event(logger, "claim_not_extended", logging.WARNING, outbox_id=self._claim.outbox_id, error=str(error))
            return
        if not kept:
            raise ClaimLost
        self._held, self._kept_at = self._seconds, now
