"""One sender of one account: attempts of claimed rows, one after another, on one SMTP session, as steps.

A mail costs one commit: once its MAIL and RCPT are answered, or before they are said (smtp_one_trip), one transaction
writes the outcome of the mail before it, this one's "data" and the claim of the one after it. Answers that take their
time do not hold up the outcome before them: that is then written meanwhile. The mail after is read while the server
takes this one. At no instant do two rows of a session have "data" and no outcome.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from mailbox import logs
from mailbox.credentials import DecryptionFailed
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.models import Account
from outbox.delivery import claims, outcomes, recovery
from outbox.delivery.attempt_watch import AttemptWatch, ClaimLost, Clock, SendLease
from outbox.delivery.beside import Turn
from outbox.delivery.claims import Claim, Ending
from outbox.delivery.endpoint import open_session
from outbox.delivery.outcomes import Owed, Work
from outbox.delivery.rate_limiter import Pace
from outbox.delivery.timeouts import Times
from outbox.eventloop.coroutines import Apart, Steps, to_the_end
from outbox.eventloop.group_commit import Together
from outbox.retry.policy import Fault, Kind, Phase, Verdict
from outbox.smtp.connection import SmtpFailure
from outbox.smtp.mail_transaction import Delivery, Mail
from outbox.smtp.session import SmtpSession

logger = logging.getLogger(__name__)
AHEAD = 8  # rows claimed at once; a server that keeps us waiting makes us give them back
STOPPED = "The worker was told to stop."


class Sender:
    """Holds the account's SEND lease and at most one session. `is_parked` tells to leave the rest of the queue."""

    def __init__(self, account: Account, lease: SendLease, *, times: Times, clock: Clock) -> None:
        self._account, self._lease, self._times, self._clock = account, lease, times, clock
        self._session: SmtpSession | None = None
        self._go_on: Callable[[], bool] = lambda: False
        self._owed: list[Owed] = []
        self._following: deque[Claim] = deque()
        self._prepared: Work | None = None  # of the first of them
        self._watch: AttemptWatch | None = None
        self.pace = Pace(account)
        self.is_parked = False
        self.attempted = self.sent = 0

    @property
    def is_stalled(self) -> bool:
        """The server has kept us waiting for a while, or the account's rate limit does."""
        return self.pace.is_waiting or (self._watch is not None and self._watch.is_stalled)

    def close(self) -> Steps[None]:
        if self._session is not None:
            session, self._session = self._session, None
            yield from session.quit()

    def deliver(self, claim: Claim, go_on: Callable[[], bool] = lambda: False) -> Steps[None]:
        """Deliver a claimed row and, as long as `go_on` says so, the rows due after it; write down what came of each.

        Raises what is unexpected, after the rows have been settled.
        """
        self._go_on = go_on
        following: Claim | None = claim
        try:
            while following is not None:
                yield from self._attempt(following)
                may_go_on = self._following and not self.is_parked and go_on()
                following = self._following.popleft() if may_go_on else None
        finally:
            try:
                yield from self.settle()
            finally:
                self._give_back_following()

    def _attempt(self, claim: Claim) -> Steps[None]:
        self._watch = watch = AttemptWatch(
            claim,
            self._lease,
            lease_seconds=self._times.claim_lease,
            held_seconds=claim.lease_seconds,
            held_since=claim.claimed_at,
            clock=self._clock,
            stalled=self._give_back_following,
        )
        self.attempted += 1
        try:
            end = yield from self._outcome(claim, watch)
            self._owed.append(Owed(claim, end, self._clock()))
        except BaseException as trouble:
            try:
                yield from self.settle()  # the mail before this one: its outcome is known
            finally:
                self._after_trouble(claim, watch, trouble)
            return
        self._watch = None
        has_session = self._session is not None and self._session.is_open
        if not self._following or not has_session or self.is_parked:
            yield from self.settle(claims_next=True)

    # --- Trying -------------------------------------------------------------------------------------------------
    def _outcome(self, claim: Claim, watch: AttemptWatch) -> Steps[Callable[[], Ending]]:
        """What tells how the attempt ended; whatever it does to queue and session is done."""
        work, self._prepared = self._prepared, None
        if work is None or work.claim is not claim:
            work = outcomes.prepare(claim)
        if work.fault is not None:
            return self._failed(work, watch, work.fault, parks=False)
        if not work.recipients.to_try:
            return partial(outcomes.of_answer, work, Delivery(), watch, self._clock())
        while True:
            is_used = self._session is not None and self._session.is_open
            try:
                session = yield from self._open_session(watch)
            except SmtpFailure as failure:
                return self._failed(work, watch, failure.fault, parks=True)
            except DecryptionFailed as error:
                return self._failed(work, watch, Fault(Phase.AUTH, Kind.REPLY, str(error), 535), parks=True)
            try:
                delivery = yield from session.deliver(work.mail, Turn(self, work, watch))
            except SmtpFailure as failure:
                is_lost = not session.is_open and (failure.took_nothing or not watch.data_committed)
                if is_lost and is_used:
                    # Servers end a session after so many mails or minutes: a fresh one tells the server's state.
                    yield from self._withdraw_data(work, watch, failure)
                    continue
                parks = is_lost and failure.fault.kind in (Kind.NETWORK, Kind.PROTOCOL)
                return self._failed(work, watch, failure.fault, parks=parks, refused=failure)
            if delivery.stopped:
                raise ClaimLost
            if fault := outcomes.asked_to_wait(delivery):
                return self._failed(work, watch, fault, parks=True)
            return partial(outcomes.of_answer, work, delivery, watch, self._clock())

    def _open_session(self, watch: AttemptWatch) -> Steps[SmtpSession]:
        if self._session is not None and self._session.is_open:
            self._session.watch_with(watch)
            return self._session
        yield from self.settle()  # opening takes its time, and the outcome before it is known
        self._session = yield Apart(lambda: open_session(self._account, self._times.patience, watch))
        assert self._session is not None
        smtp = self._account.smtp
        if smtp.failure_count or smtp.last_reply or smtp.next_allowed_at or smtp.needs_sign_in_since:
            smtp.mark_signed_in()
            smtp.refresh_from_db()
        return self._session

    def _failed(
        self, work: Work, watch: AttemptWatch, fault: Fault, *, parks: bool, refused: SmtpFailure | None = None
    ) -> Callable[[], Ending]:
        now, smtp = self._clock(), self._account.smtp
        failure = outcomes.of_fault(
            work,
            fault,
            watch,
            failures=smtp.failure_count + 1,
            now=now,
            refused=refused.refused if refused else None,
        )
        verdict = failure.ending.settlement.verdict
        if verdict is Verdict.SIGN_IN:
            self._park(lambda: smtp.mark_needs_sign_in(fault.reply, now))
        elif parks or verdict is Verdict.THROTTLED:
            self._park(lambda: smtp.mark_unavailable(fault.reply, failure.until, now))
            self._give_back_following()  # its queue waits, and it with it
            self._park(lambda: recovery.postpone_queue(work.claim.account_id, failure.until))
        return lambda: failure.ending

    def _park(self, write: Callable[[], object]) -> None:
        """Leave the rest of the queue. A database that refuses this must not make the row's outcome unknown."""
        self.is_parked = True
        with contextlib.suppress(*DATABASE_TROUBLE):
            to_the_end(recovery.persistently(Apart(write), self._waits(3)))

    # --- Beside the conversation: see Turn ---------------------------------------------------------------------
    def commit_data(self, work: Work, watch: AttemptWatch, delivery: Delivery) -> Steps[bool]:
        """Write "data", with the outcome before this mail and the claim after it; False when the claim is lost.

        Not sent yet: whatever is raised in here, or just after the commit, gives the row back as it was.
        """
        self.prepare_owed()
        owed, claims_next = [*self._owed], self._may_claim()

        def step() -> tuple[list[bool], bool, list[Claim]]:
            written, now = self._finalize(owed), self._clock()
            is_ours = claims.commit_data(
                work.claim,
                delivery.refused,
                watch.transcript,
                lease_seconds=self._times.data_lease,
                now=now,
                no_longer_refused=[each for each in delivery.accepted if each in work.recipients.refused_before],
            )
            if is_ours:
                self.pace.count(now)
            takes_next = claims_next and self.pace.is_open(now)
            return written, is_ours, self._claim_next(takes_next)

        answer: tuple[list[bool], bool, list[Claim]] = yield Together(step)
        written, is_ours, following = answer
        watch.data_committed = is_ours
        self._written(owed, written, following)
        return is_ours

    def _withdraw_data(self, work: Work, watch: AttemptWatch, failure: SmtpFailure) -> Steps[None]:
        """The server took nothing: until "data" is committed again, a worker that dies leaves no question."""
        if not watch.data_committed:
            return
        watch.data_committed = False
        seconds, phase, now = self._times.claim_lease, failure.fault.phase.value, self._clock()
        is_ours: bool = yield Together(lambda: claims.withdraw_data(work.claim, phase, lease_seconds=seconds, now=now))
        if not is_ours:
            raise ClaimLost

    def prepare_following(self) -> Mail | None:
        """Read the next mail; whatever fails is tried again, and told, when it is that mail's turn: here it would make
        the outcome of the mail before it unknown. Answers it if it may be begun as soon as this one is taken."""
        with contextlib.suppress(Exception):
            if self._following and self._prepared is None:
                self._prepared = outcomes.prepare(self._following[0])
            work = self._prepared
            if work and not work.fault and work.recipients.to_try and not self.is_parked and self._go_on():
                return work.mail
        return None

    # --- Writing down -------------------------------------------------------------------------------------------
    def _claim_next(self, wanted: bool) -> list[Claim]:
        """A few rows at once: their claims are one statement, and they are sent within moments."""
        if not wanted:
            return []
        seconds = min(self._times.ahead_lease, self._times.claim_lease)
        most, worker = 1 if self.pace.is_limited else AHEAD, claims.worker_name()
        return claims.claim_some(self._account.pk, worker, most=most, lease_seconds=seconds, now=self._clock())

    def settle(self, *, claims_next: bool = False) -> Steps[None]:
        """Write the known outcome down, with the next claim if that is wanted and allowed."""
        owed = [*self._owed]
        if not owed:
            return
        takes_next = claims_next and self._may_claim()

        def step() -> tuple[list[bool], list[Claim]]:
            nonlocal takes_next
            takes, takes_next = takes_next, False  # when the two fail together, the outcome is written alone
            return self._finalize(owed), self._claim_next(takes)

        self._written(owed, *(yield from recovery.persistently(Together(step), self._waits())))

    def _may_claim(self) -> bool:
        is_open = self.pace.is_open(self._clock())
        return not self._following and not self.is_parked and is_open and self._go_on()

    def _finalize(self, owed: list[Owed]) -> list[bool]:
        return [claims.finalize(each.claim, each.ending, now=each.now, prepared=each.prepared) for each in owed]

    def prepare_owed(self) -> None:
        """Work out what the next transaction writes, while the server works too."""
        _ = [owed.prepared for owed in self._owed]

    def _written(self, owed: list[Owed], written: list[bool], following: list[Claim]) -> None:
        self._following.extend(following)
        self._owed = [each for each in self._owed if each not in owed]
        for each, is_written in zip(owed, written, strict=True):
            self.sent += each.is_sent
            outcomes.log(each, is_written)
        if any(each.is_sent for each in owed) and self._account.smtp.failing_since:
            self._account.smtp.failing_since = None
            self._account.smtp.mark_working()

    def _waits(self, most_tries: float = float("inf")) -> Callable[[int], Steps[bool]]:
        return recovery.waits(self._times.finalize, most_tries, beside=self._lease.keep)

    def _give_back_following(self) -> None:
        """Rows that were claimed ahead and not begun go back as if they had not been."""
        given_back, self._prepared = [*self._following], None
        self._following.clear()
        if given_back:
            self._try_twice(given_back[0], lambda: claims.unclaim(given_back, now=self._clock()))

    def _after_trouble(self, claim: Claim, watch: AttemptWatch, trouble: BaseException) -> None:
        """Our own failure. Before "data" the row goes back; what is unexpected makes it wait like any other failure,
        so that a row that trips us each time does not keep the queue. After "data" it is uncertain. Raises what is
        unexpected."""
        if self._session is not None:  # it may be in the middle of anything: close it without a word
            self._session.drop()
            self._session = None
        if isinstance(trouble, ClaimLost):
            self._release(claim, "The claim ran out before anything was sent; another worker has the row.")
            return
        self.is_parked = True
        is_expected = isinstance(trouble, DATABASE_TROUBLE)
        words = f"The database refused: {trouble}" if is_expected else STOPPED
        if isinstance(trouble, Exception) and not is_expected:
            words = f"Unexpected {type(trouble).__name__}: see the workers' log."
        elif not watch.data_committed:
            self._release(claim, words)
            words = ""
        if words:
            ending = outcomes.of_trouble(claim, watch, words, self._clock())
            self._try_twice(claim, lambda: claims.finalize(claim, ending, now=self._clock()))
        if not is_expected:
            raise trouble

    def _release(self, claim: Claim, words: str) -> None:
        self._try_twice(claim, lambda: claims.release(claim, words, now=self._clock()))

    def _try_twice(self, claim: Claim, write: Callable[[], object]) -> None:
        try:
            to_the_end(recovery.persistently(Apart(write), self._waits(2)))
        except DATABASE_TROUBLE as error:  # the lease ends by itself, and the sweep comes to the same
            logs.event(logger, "claim_not_settled", logging.WARNING, outbox_id=claim.outbox_id, error=str(error))
