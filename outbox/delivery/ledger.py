"""The database side of a sender: outcomes that are known but not saved yet, and rows that are claimed ahead.

Each mail takes one commit: `commit_dot` saves the outcome of the mail before, this mail's "dot", and the claim of the
mail after. Rows claimed ahead that are not begun are returned as if they had not been claimed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from typing import TypeVar

from mailbox import logs
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.storage import raw_store
from outbox.delivery import claims, finalization, preparation, recovery
from outbox.delivery.attempt_watch import AttemptWatch, ClaimLost, SendLease
from outbox.delivery.claims import Claim
from outbox.delivery.finalization import UnwrittenOutcome
from outbox.delivery.preparation import PreparedAttempt
from outbox.delivery.rate_limiter import RateLimiter
from outbox.delivery.timeouts import Times
from outbox.retry.faults import AFTER_DOT, Phase
from outbox.smtp.blocking_calls import in_thread
from outbox.smtp.mail import Delivery
from outbox.smtp.replies import Reply

T = TypeVar("T")
logger = logging.getLogger(__name__)
READ_AHEAD_SECONDS = 1.0  # longest wait for the next mail, while the answer to the end of the one before is due
AHEAD = 8  # rows claimed at once; they are returned when the server keeps us waiting


class Ledger:
    """The base class of Sender: it saves outcomes and claims rows; Sender sends the mails."""

    def __init__(self, lease: SendLease, rate_limiter: RateLimiter, times: Times) -> None:
        self.lease, self.times, self.clock, self.database = lease, times, lease.clock, lease.database
        self.rate_limiter = rate_limiter
        self._unwritten: list[UnwrittenOutcome] = []
        self._following: deque[Claim] = deque()  # claimed ahead, not begun
        self._prepared: PreparedAttempt | None = None  # of the first of `_following`
        self._last: UnwrittenOutcome | None = None  # of the last mail on this session whose end was written
        self._go_on: Callable[[], bool] = lambda: False
        self.is_parked = False
        self.sent = 0

    def _may_go_on(self) -> bool:
        """Whether another mail may be begun."""
        return not self.is_parked and self._go_on()

    # --- Outcomes -----------------------------------------------------------------------------------------------
    async def settle(self, *, claims_next: bool = False) -> None:
        """Save the known outcomes. `claims_next`: claim the next rows in the same transaction, if that is allowed."""
        if not self._unwritten:
            return
        takes_next = claims_next and self._may_claim()

        def step() -> tuple[list[bool], list[Claim]]:
            nonlocal takes_next
            takes, takes_next = takes_next, False  # if the transaction fails, the next try saves the outcomes alone
            return self._finalize(), self._claim_next(takes)

        self._written(*await self.write_persistently(step))

    async def doubt(self, words: Sequence[Reply]) -> None:
        """Make the last mail uncertain if one of these replies contradicts its outcome.

        `words`: replies of which one was not asked for, so that any may be the real answer to the last mail.
        """
        if not words:
            return
        await self.settle()
        last, self._last = self._last, None
        surplus = next((each for each in words if last and bool(last.outcome.accepted) is (each.code >= 400)), None)
        if last is None or surplus is None:
            return
        told = f"The outcome is not known: after this mail the server said what nobody asked for: {surplus}"

        def step() -> bool:
            return finalization.make_uncertain(last.claim, last.outcome.accepted, told, now=self.clock())

        if await self.write_persistently(step):
            self.sent -= last.outcome.is_sent
            logs.event(logger, "outcome_doubted", logging.WARNING, outbox_id=last.claim.outbox_id, reply=str(surplus))

    def _finalize(self) -> list[bool]:
        return [finalization.finalize(each.claim, each.outcome, now=each.now) for each in self._unwritten]

    def _written(self, written: list[bool], following: list[Claim]) -> None:
        self._following.extend(following)
        unwritten, self._unwritten = self._unwritten, []
        for each, is_written in zip(unwritten, written, strict=True):
            self.sent += each.outcome.is_sent
            if each.outcome.phase in AFTER_DOT:
                self._last = each
            # In the next turn of the loop: nothing is done between the commit of "dot" and the end of the mail.
            asyncio.get_running_loop().call_soon(finalization.log_attempt, each, is_written)

    # --- "dot" -------------------------------------------------------------------------------------------------
    async def commit_dot(self, watch: AttemptWatch, delivery: Delivery) -> None:
        """Commit "dot", the outcome of the mail before, and the next claims. Raises ClaimLost.

        The end of the mail is not sent yet: after an exception in here, or just after the commit, the row is released.
        """
        claims_next = self._may_claim()

        def step() -> tuple[list[bool], bool, list[Claim]]:
            written, now = self._finalize(), self.clock()
            is_ours = claims.commit_dot(
                watch.claim,
                delivery.refused,
                watch.transcript,
                lease_seconds=self.times.dot_lease,
                now=now,
                no_longer_refused=[each for each in delivery.accepted if each in watch.refused_before],
            )
            if is_ours:
                self.rate_limiter.count(now)
            takes_next = claims_next and self.rate_limiter.is_open(now)
            return written, is_ours, self._claim_next(takes_next)

        written, is_ours, following = await self.database.write(step)
        if is_ours:
            watch.committed_dot()
        self._written(written, following)
        if not is_ours:
            raise ClaimLost

    async def withdraw_dot(self, watch: AttemptWatch, phase: Phase) -> None:
        """Undo commit_dot(), as the server took nothing: a worker that dies now must not leave the row uncertain.

        Raises ClaimLost.
        """
        if not watch.dot_committed:
            return
        watch.dot_committed = False
        seconds, now = self.times.claim_lease, self.clock()
        if not await self.database.write(
            lambda: claims.withdraw_dot(watch.claim, phase.value, lease_seconds=seconds, now=now)
        ):
            raise ClaimLost

    # --- Claims -------------------------------------------------------------------------------------------------------
    async def take_prepared(self, watch: AttemptWatch) -> PreparedAttempt:
        """What the attempt needs, possibly read ahead. Raises database errors."""
        claim = watch.claim
        work, self._prepared = self._prepared, None
        if work is not None and work.claim is claim:
            return work
        if not raw_store.is_local():
            await self.settle()  # else the outcome of the mail before would wait for the store, too
        return await self._prepare(claim, watch.waiting)

    async def prepare_following(self) -> None:
        """Read the next mail ahead. Raises nothing: an exception would make the current mail's outcome unknown, and the
        next mail is read again when it is its turn."""
        with contextlib.suppress(Exception):
            if self._following and self._prepared is None:
                following = self._following[0]
                async with asyncio.timeout(READ_AHEAD_SECONDS):
                    work = await self._prepare(following)
                # Else it was given back meanwhile.
                self._prepared = work if following in self._following else None

    async def _prepare(self, claim: Claim, waiting: Callable[[], Awaitable[None]] | None = None) -> PreparedAttempt:
        """preparation.prepare(); where the raw store is on another machine, the mail is read on a thread, so that only
        this account's mail waits if that machine is silent."""
        digest = claim.mime_digest
        read: Callable[[], bytes] = partial(raw_store.open_raw, digest)
        if not raw_store.is_local():
            found = Future[bytes]()  # raises what reading has raised when it is asked for
            try:
                found.set_result(await in_thread(self.database.run(lambda: raw_store.reader_of(digest)), waiting))
            except raw_store.RawMissing as error:
                found.set_exception(error)
            read = found.result
        return self.database.run(lambda: preparation.prepare(claim, read))

    async def give_back_following(self) -> None:
        """Return the rows claimed ahead to the queue. If the database fails, their leases expire."""
        given_back, self._prepared = [*self._following], None
        self._following.clear()
        if given_back:
            await self.write_if_possible(lambda: claims.unclaim(given_back, now=self.clock()))

    def claim(self, claim: Callable[..., Claim | None]) -> Claim | None:
        """Claim a row by this function of `claims`."""
        seconds, now = self.times.claim_lease, self.clock()
        return self.database.run(lambda: claim(claims.worker_name(), lease_seconds=seconds, now=now))

    def _may_claim(self) -> bool:
        return not self._following and self.rate_limiter.is_open(self.clock()) and self._may_go_on()

    def _claim_next(self, wanted: bool) -> list[Claim]:
        """Claim the next rows, up to AHEAD by one statement."""
        if not wanted:
            return []
        seconds = min(self.times.ahead_lease, self.times.claim_lease)
        most, worker = 1 if self.rate_limiter.per_minute else AHEAD, claims.worker_name()
        return claims.claim_some(self.lease.account_id, worker, most=most, lease_seconds=seconds, now=self.clock())

    async def postpone_queue(self, until: datetime) -> None:
        """Have the account's queue wait, a part at a time: the mail of other accounts goes on in between."""
        postpone = partial(recovery.postpone_queue, self.lease.account_id, until)
        # If the database fails, the server's own backoff holds the rest.
        while await self.write_if_possible(postpone, 3) == recovery.POSTPONED_AT_ONCE:
            self.lease.renew_in_time()

    # --- Through database errors --------------------------------------------------------------------------------
    async def write_persistently(self, act: Callable[[], T], most_tries: float = float("inf")) -> T:
        """Run `act` in a transaction. Retry after database errors, with backoff, for at most `Times.finalize`."""
        give_up, tries = time.monotonic() + self.times.finalize, 0
        while True:
            try:
                return await self.database.write(act)
            except DATABASE_TROUBLE as error:
                tries += 1
                logs.event(logger, "finalize_retried", logging.WARNING, tries=tries, error=str(error))
                await asyncio.sleep(min(2.0, 0.05 * 2 ** min(tries, 6)))
                self.lease.renew_in_time()
                if tries >= most_tries or time.monotonic() >= give_up:
                    raise

    async def write_if_possible(self, act: Callable[[], T], tries: int = 2) -> T | None:
        """Run `act` in a transaction, at most `tries` times. The last database error is only logged."""
        try:
            return await self.write_persistently(act, tries)
        except DATABASE_TROUBLE as error:
            logs.event(logger, "not_written", logging.WARNING, account=self.lease.account_id, error=str(error))
            return None
