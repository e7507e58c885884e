"""The sender of one account: sends claimed rows one after another, on one SMTP session.

Each mail takes one commit, made when its body was written and its end was not: it saves the outcome of the mail before,
this mail's "dot" and the claim of the mail after (see ledger). If a reply or the body takes long, the outcome of the
mail before is saved meanwhile. The mail after is read while the server takes this one. At no time do two rows of a
session have "dot" and no outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.models import Account
from outbox.delivery import claims, finalization, outcomes
from outbox.delivery.attempt_watch import STALL_SECONDS, AttemptWatch, ClaimLost, Clock, SendLease
from outbox.delivery.claims import Claim
from outbox.delivery.database import Database
from outbox.delivery.endpoint import open_session
from outbox.delivery.finalization import UnwrittenOutcome
from outbox.delivery.ledger import Ledger
from outbox.delivery.outcomes import AttemptOutcome
from outbox.delivery.preparation import PreparedAttempt
from outbox.delivery.rate_limiter import RateLimiter
from outbox.delivery.timeouts import Times
from outbox.retry.faults import Kind, Verdict
from outbox.smtp.connection import SmtpFailure
from outbox.smtp.mail import Delivery
from outbox.smtp.replies import Reply
from outbox.smtp.session import SmtpSession

STOPPED = "The worker was told to stop."
QUESTIONS_IN_A_ROW = 2
CLAIM_LOST = "The claim ran out before anything was sent."


class Sender(Ledger):
    """Sends an account's mail, with its SEND lease and at most one session.

    is_parked: the rest of the queue has to wait. attempted, sent: numbers of mails.
    """

    @classmethod
    def begin(cls, database: Database, account_id: int, times: Times, clock: Clock) -> Sender | None:
        """The account's one sender; None when another worker is that. Call it within `Database.run`."""
        lease = SendLease.acquire(account_id, times.send_lease, clock, database)
        # None when it was just deleted, and the lease with it.
        account = Account.objects.select_related("smtp").filter(pk=account_id).first() if lease else None
        return cls(account, lease, times) if lease and account else None

    def __init__(self, account: Account, lease: SendLease, times: Times) -> None:
        super().__init__(lease, RateLimiter(account), times)
        self._account = account
        self._session: SmtpSession | None = None
        self._watch: AttemptWatch | None = None
        self._questions = 0  # uncertain mails since the last that was accepted
        self._closes_at = float("inf")  # time.monotonic() when QUIT was begun
        self.attempted = 0

    @property
    def is_stalled(self) -> bool:
        """Whether the server (also one that never answers QUIT), or the account's rate limit, keeps us waiting."""
        is_silent = self._watch is not None and self._watch.is_stalled
        return is_silent or self.rate_limiter.is_waiting or time.monotonic() - self._closes_at >= STALL_SECONDS

    async def close(self) -> None:
        """QUIT, and give the lease back. A reply that was not asked for may be the answer to the last mail: see
        Ledger.doubt."""
        self._closes_at = time.monotonic()
        try:
            if self._session is not None:
                session, self._session = self._session, None
                await self.doubt(await session.quit())
        finally:
            self.lease.release()

    async def deliver(self, claim: Claim, go_on: Callable[[], bool] = lambda: False) -> None:
        """Send a claimed row and, as long as `go_on` returns True, the rows that are due after it; save each outcome.

        Raises unexpected exceptions, after the rows were settled.
        """
        self._go_on = go_on
        try:
            await self._attempt(claim)
            while self._following and self._may_go_on():
                await self._attempt(self._following.popleft())
        finally:
            try:
                await self.settle()
            finally:
                await self.give_back_following()

    async def _attempt(self, claim: Claim) -> None:
        self._watch = watch = SenderWatch(claim, self)
        self.attempted += 1
        try:
            outcome = await self._outcome(watch)
            # Until settle(), or commit_dot() of the mail after.
            self._unwritten.append(UnwrittenOutcome(claim, outcome, self.clock()))
        except BaseException as trouble:
            try:
                await self.settle()  # save the known outcome of the mail before
            finally:
                await self._after_trouble(watch, trouble)
            return
        self._watch = None
        has_session = self._session is not None and self._session.is_open
        works_again = self._account.smtp.failing_since is not None and outcome.is_sent
        if works_again or not self._following or not has_session or self.is_parked:
            await self.settle(claims_next=True)
        if works_again:
            self._account.smtp.failing_since, self._account.smtp.failure_count = None, 0
            with contextlib.suppress(*DATABASE_TROUBLE):
                self.database.run(self._account.smtp.mark_working)

    # --- Trying -------------------------------------------------------------------------------------------------
    async def _outcome(self, watch: SenderWatch) -> AttemptOutcome:
        """Make the attempt; queue and session are settled afterwards."""
        work = await self.take_prepared(watch)
        watch.refused_before = work.recipients.refused_before
        if work.fault is not None:
            return await self._failed(work, watch, SmtpFailure(work.fault), parks=False)
        if work.mail is None:
            return outcomes.of_answer(work, Delivery(), watch, self.clock())
        while True:
            is_used = self._session is not None and self._session.is_open
            try:
                session = await self._open_session(watch)
            except SmtpFailure as failure:
                return await self._failed(work, watch, failure, parks=True)
            try:
                delivery = await session.deliver(work.mail, watch)
            except SmtpFailure as failure:
                await self.doubt(failure.surplus)
                if _is_lost(session, failure) and (is_used or failure.fault.kind is Kind.UNKNOWN):
                    # Servers end a session after some number of mails or minutes, so try once more on a new session.
                    # Kind.UNKNOWN: it refused a parameter of an extension that it offers, which is then not sent.
                    await self.withdraw_dot(watch, failure.fault.phase)
                    continue
                return await self._failed(work, watch, failure, parks=_is_lost(session, failure))
            if fault := outcomes.asked_to_wait(delivery):
                return await self._failed(work, watch, SmtpFailure(fault), parks=True)
            self._questions = 0
            return outcomes.of_answer(work, delivery, watch, self.clock())

    async def _open_session(self, watch: AttemptWatch) -> SmtpSession:
        if self._session is not None and self._session.is_open:
            return self._session
        await self.settle()  # save the known outcome first, as opening a session takes long
        self._last = None  # what a new session says cannot be about a mail of the former one
        self._session = await open_session(self._account, self.times.patience, watch, self.database)
        smtp = self._account.smtp
        if smtp.failure_count or smtp.last_reply or smtp.next_allowed_at or smtp.needs_sign_in_since:
            self.database.run(smtp.mark_signed_in)
            self.database.run(smtp.refresh_from_db)
        return self._session

    async def _failed(
        self, work: PreparedAttempt, watch: SenderWatch, failure: SmtpFailure, *, parks: bool
    ) -> AttemptOutcome:
        now, smtp, words = self.clock(), self._account.smtp, failure.fault.reply
        outcome, until = outcomes.of_failure(work, failure, watch, failures=smtp.failure_count + 1, now=now)
        verdict = outcome.settlement.verdict
        # Two in a row: a server that ends each mail without an answer would make every mail a question within moments.
        self._questions += verdict is Verdict.UNCERTAIN
        if verdict is Verdict.SIGN_IN:
            await self._park(lambda: smtp.mark_needs_sign_in(words, now))
        elif parks or verdict is Verdict.THROTTLED or self._questions >= QUESTIONS_IN_A_ROW:
            await self._park(lambda: smtp.mark_unavailable(words, until, now))
            await self.give_back_following()  # they wait with the rest of the queue
            await self.postpone_queue(until)
        return outcome

    async def _park(self, write: Callable[[], object]) -> None:
        """Stop with the rest of the queue, and save why. A database error here must not make the outcome unknown."""
        self.is_parked = True
        await self.write_if_possible(write, 3)

    async def _after_trouble(self, watch: AttemptWatch, trouble: BaseException) -> None:
        """Settle the row after an exception of our own, whatever the session was doing. Raises unexpected ones."""
        session, self._session = self._session, None
        surplus: Sequence[Reply] = ()
        try:
            if session is not None:
                surplus = await session.leave()
        finally:
            try:
                await self._put_back(watch, trouble)
            finally:
                await self.doubt(surplus)

    async def _put_back(self, watch: AttemptWatch, trouble: BaseException) -> None:
        """Before the end of the mail, release the row; after it, the row is uncertain. Raises unexpected exceptions.

        After a bug the row waits as after any failure, so that a row that triggers it each time does not block the
        queue.
        """
        claim, has_outcome = watch.claim, watch.may_be_taken
        if isinstance(trouble, ClaimLost):  # nothing was sent; if "dot" was committed, the row has become uncertain
            words, has_outcome = CLAIM_LOST, watch.dot_committed
        elif isinstance(trouble, DATABASE_TROUBLE):
            words = f"The database refused: {trouble}"
        elif isinstance(trouble, Exception):
            words, has_outcome = f"Unexpected {type(trouble).__name__}: see the workers' log.", True
        else:
            words = STOPPED
        self.is_parked = self.is_parked or not isinstance(trouble, ClaimLost)
        # If the database fails, the claim's lease expires, and the sweep does the same.
        if has_outcome:
            outcome = outcomes.of_trouble(watch, words, self.clock())
            await self.write_if_possible(lambda: finalization.finalize(claim, outcome, now=self.clock()))
        else:
            await self.write_if_possible(lambda: claims.release(claim, words, now=self.clock()))
        if not isinstance(trouble, (ClaimLost, *DATABASE_TROUBLE)):
            raise trouble


def _is_lost(session: SmtpSession, failure: SmtpFailure) -> bool:
    """Whether the failure was the session's (closed, out of step), and the server cannot have taken the mail."""
    of_the_session = failure.fault.kind in (Kind.NETWORK, Kind.PROTOCOL, Kind.UNKNOWN) or failure.fault.code == 421
    return of_the_session and not session.is_open and failure.took_nothing


class SenderWatch(AttemptWatch):
    """What the sender does at points in the transfer of one mail."""

    def __init__(self, claim: Claim, sender: Sender) -> None:
        super().__init__(claim, sender.lease, sender.times)
        self._sender = sender

    async def waiting(self) -> None:
        """Renew the leases; return the rows claimed ahead, which others may send, if the server keeps us waiting."""
        if self.is_stalled:
            await self._sender.give_back_following()
        await super().waiting()

    async def kept_waiting(self) -> None:
        """Save the outcome of the mail before and claim the next rows, as there is time; after that, nothing."""
        await self._sender.settle(claims_next=True)

    async def before_dot(self, delivery: Delivery) -> None:
        """Commit "dot". Raises ClaimLost."""
        await self._sender.commit_dot(self, delivery)

    async def after_dot(self) -> None:
        """Read the next mail while the server answers."""
        await asyncio.sleep(0)  # the tasks that share our last commit write the ends of their mails first
        await self._sender.prepare_following()
