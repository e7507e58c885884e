"""One sender of one account: attempts claimed rows, one after another, on one SMTP session."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from mailbox import logs, rawstore
from mailbox.credentials import DecryptionFailed
from mailbox.models import Account

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from outbox import claims, compose, recovery, retry
from outbox.claims import Claim, Ending, Recipients
from outbox.errors import Code
from outbox.models import OutboxMessage
from outbox.retry import Fault, Kind, Limits, Phase, Settlement, Verdict
from outbox.smtp import Delivery, Envelope, SmtpSession
from outbox.smtp_conversation import Patience, SmtpFailure
from outbox.watch import AttemptWatch, ClaimLost, Clock, SendLease

logger = logging.getLogger(__name__)
DRILL_WORDS = {
    "network": "drill: the network was made to fail on purpose; nothing was sent.",
    "provider": "451 4.3.0 drill: the provider was made to refuse on purpose; nothing was sent.",
}


@dataclass(frozen=True)
class Times:
    """Seconds. Leases are above the waits they cover: a command's, and after "data" body and final dot together."""

    patience: Patience
    claim_lease: float
    data_lease: float
    finalize: float  # how long to try to write an outcome down

    @classmethod
    def from_settings(cls) -> Times:
        command, final_dot = settings.COMMAND_TIMEOUT_SECONDS, settings.FINAL_DOT_TIMEOUT_SECONDS
        # What a task may take in all, less the final dot and some time to write down what came of it.
        session = settings.TASK_TIMEOUT_SECONDS - final_dot - 10
        return cls(
            Patience(settings.CONNECT_TIMEOUT_SECONDS, command, final_dot, max(session, command)),
            claim_lease=command + 30,
            data_lease=max(session, command) + final_dot + 60,
            finalize=settings.TASK_TIMEOUT_SECONDS,
        )


def limits() -> Limits:
    return Limits(settings.OUTBOX_BASE_BACKOFF_SECONDS, timedelta(days=settings.OUTBOX_GIVE_UP_DAYS))


class Sender:
    """Holds the account's SEND lease and at most one session. `is_parked` tells to leave the rest of the queue."""

    def __init__(self, account: Account, lease: SendLease, *, times: Times, clock: Clock) -> None:
        self._account, self._lease, self._times, self._clock = account, lease, times, clock
        self._session: SmtpSession | None = None
        self.is_parked = False
        self.following: Claim | None = None

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def attempt(self, claim: Claim, go_on: Callable[[], bool] = lambda: False) -> bool:
        """Deliver one claimed row and write down what came of it; True when it was sent.

        When `go_on` says so, the next due row is claimed in the transaction that writes the outcome: `following`.
        Raises what is unexpected, after the row has been settled.
        """
        self.following = None
        watch = AttemptWatch(claim, self._lease, lease_seconds=self._times.claim_lease, clock=self._clock)
        try:
            ending = self._outcome(claim, watch)
        except ClaimLost:
            self._abandon(claim, "The claim ran out before anything was sent; another worker has the row.")
            return False
        except (OperationalError, InterfaceError) as error:
            self._after_trouble(claim, watch, f"The database refused: {error}", counts=False)
            return False
        except Exception as error:
            self._after_trouble(claim, watch, f"Unexpected {type(error).__name__}: see the workers' log.", counts=True)
            raise
        except BaseException:  # the task's time-out and Ctrl-C are no Exception
            self._after_trouble(claim, watch, "The worker was told to stop.", counts=False)
            raise
        try:
            self._finalize(claim, ending, go_on)
        except Exception:
            raise
        except BaseException:  # told to stop just now: what is known is not left to become a question
            with contextlib.suppress(OperationalError, InterfaceError):
                claims.finalize(claim, ending, now=self._clock())
            raise
        return ending.settlement.status == OutboxMessage.Status.SENT

    # --- Trying -------------------------------------------------------------------------------------------------
    def _outcome(self, claim: Claim, watch: AttemptWatch) -> Ending:
        if claim.failure_mode:
            kind = Kind.NETWORK if claim.failure_mode == "network" else Kind.REPLY
            fault = Fault(Phase.CONNECT, kind, DRILL_WORDS[claim.failure_mode], 451 if kind is Kind.REPLY else None)
            return self._failed(claim, watch, fault, parks=False)
        recipients = claims.recipients(claim.outbox_id)
        if not recipients.to_try:
            return self._accepted(claim, watch, recipients, Delivery())
        try:
            content = compose.stamped(rawstore.open_raw(claim.mime_digest), claim.message_id, claim.prx_attempt)
        except rawstore.RawMissing as error:
            return self._failed(
                claim, watch, Fault(Phase.CLAIM, Kind.LOCAL, str(error)), parks=False, code=Code.STORAGE
            )
        return self._deliver(claim, watch, recipients, content)

    def _deliver(self, claim: Claim, watch: AttemptWatch, recipients: Recipients, content: bytes) -> Ending:
        envelope = Envelope(claim.mail_from, recipients.to_try, claim.needs_smtputf8)
        while True:
            is_used = self._session is not None and self._session.is_open
            try:
                session = self._open_session(watch)
            except SmtpFailure as failure:
                return self._failed(claim, watch, failure.fault, parks=True)
            except DecryptionFailed as error:
                return self._failed(claim, watch, Fault(Phase.AUTH, Kind.REPLY, str(error), 535), parks=True)
            try:
                delivery = session.deliver(envelope, content, self._commit(claim, watch, recipients))
            except SmtpFailure as failure:
                is_lost = not session.is_open and not watch.data_committed
                if is_lost and is_used:
                    # Servers end a session after so many mails or minutes: no fault of this mail, and a fresh
                    # session tells whether it is the server's state.
                    continue
                parks = is_lost and failure.fault.kind in (Kind.NETWORK, Kind.PROTOCOL)
                return self._failed(claim, watch, failure.fault, parks=parks, refused=failure)
            if delivery.stopped:
                raise ClaimLost
            return self._accepted(claim, watch, recipients, delivery)

    def _commit(self, claim: Claim, watch: AttemptWatch, recipients: Recipients) -> Callable[[Delivery], bool]:
        def commit_data(delivery: Delivery) -> bool:
            # Not sent yet: whatever is raised in here, or just after the commit, gives the row back as it was.
            watch.data_committed = claims.commit_data(
                claim,
                delivery.refused,
                watch.transcript,
                lease_seconds=self._times.data_lease,
                now=self._clock(),
                no_longer_refused=[each for each in delivery.accepted if each in recipients.refused_before],
            )
            return watch.data_committed

        return commit_data

    def _open_session(self, watch: AttemptWatch) -> SmtpSession:
        if self._session is not None and self._session.is_open:
            self._session.watch_with(watch)
            return self._session
        self._session = SmtpSession.open(self._account.smtp_endpoint(), patience=self._times.patience, watch=watch)
        smtp = self._account.smtp
        if smtp.failure_count or smtp.last_reply or smtp.next_allowed_at or smtp.needs_sign_in_since:
            smtp.mark_signed_in()
            smtp.refresh_from_db()
        return self._session

    # --- Deciding -----------------------------------------------------------------------------------------------
    def _accepted(self, claim: Claim, watch: AttemptWatch, recipients: Recipients, delivery: Delivery) -> Ending:
        """The server answered for each recipient, and for the mail if one of them was accepted."""
        now = self._clock()
        lacking = {**recipients.refused_for_good, **delivery.refused}
        if delivery.final is None and delivery.refused:
            first = next(iter(delivery.refused.values()))
            fault = Fault(Phase.RCPT, Kind.REPLY, str(first), first.code)
            if retry.classify(fault) in (Verdict.SIGN_IN, Verdict.THROTTLED):
                return self._failed(claim, watch, fault, parks=True)
        codes = [reply.code for reply in lacking.values()]
        settled = retry.settle_accepted(claim.tried, codes, limits=limits(), now=now)
        if delivery.final is None and settled.verdict is Verdict.PARTIAL:
            verdict = Verdict.TRANSIENT if settled.hold != OutboxMessage.Hold.PERMANENT else Verdict.PERMANENT
            settled = Settlement(
                settled.status, settled.hold, settled.retries, settled.next_attempt_at, settled.error_code, verdict
            )
        words = "\n".join(f"{address}: {reply}" for address, reply in lacking.items())
        return Ending(
            settled,
            reply=words or str(delivery.final or ""),
            reply_code=delivery.final.code if delivery.final else next(iter(codes), None),
            phase=(Phase.ACCEPTED if delivery.final else watch.phase).value,
            transcript=watch.transcript,
            accepted=delivery.accepted if delivery.final else (),
            refused=delivery.refused,
        )

    def _failed(
        self,
        claim: Claim,
        watch: AttemptWatch,
        fault: Fault,
        *,
        parks: bool,
        code: Code | None = None,
        refused: SmtpFailure | None = None,
    ) -> Ending:
        now, verdict = self._clock(), retry.classify(fault)
        error_code = (code or retry.error_code(fault)).value
        smtp = self._account.smtp
        wait = retry.unavailable_seconds(
            verdict, smtp.failure_count + 1, fault.reply, settings.OUTBOX_BASE_BACKOFF_SECONDS
        )
        until = now + timedelta(seconds=wait)
        if verdict is Verdict.THROTTLED:
            settled = retry.settle_throttled(claim.tried, error_code, until, limits=limits(), now=now)
        else:
            settled = retry.settle_failure(claim.tried, verdict, error_code, limits=limits(), now=now)
            # The row that found the server away asks again at its own time, and the rest of the queue after it.
            until = min(until, settled.next_attempt_at) if not settled.hold else until
        if verdict is Verdict.SIGN_IN:
            self._park(lambda: smtp.mark_needs_sign_in(fault.reply, now))
        elif parks or verdict is Verdict.THROTTLED:
            self._park(lambda: smtp.mark_unavailable(fault.reply, until))
            self._park(lambda: recovery.postpone_queue(claim.account_id, until, now))
        phase = fault.phase if fault.phase is not Phase.ACCEPTED else Phase.DATA
        return Ending(
            settled, fault.reply, fault.code, phase.value, watch.transcript, refused=refused.refused if refused else {}
        )

    def _park(self, write: Callable[[], object]) -> None:
        """Leave the rest of the queue. A database that refuses this must not make the row's outcome unknown."""
        self.is_parked = True
        with contextlib.suppress(OperationalError, InterfaceError):
            recovery.persistently(write, self._waits(3))

    # --- Writing down -------------------------------------------------------------------------------------------
    def _waits(self, most_tries: float = float("inf")) -> Callable[[int], bool]:
        give_up = time.monotonic() + self._times.finalize

        def wait(tries: int) -> bool:
            time.sleep(min(2.0, 0.05 * 2 ** min(tries, 6)))
            self._lease.keep()
            return tries < most_tries and time.monotonic() < give_up

        return wait

    def _finalize(self, claim: Claim, ending: Ending, go_on: Callable[[], bool]) -> None:
        takes_next = not self.is_parked and go_on()

        def write() -> tuple[bool, Claim | None]:
            nonlocal takes_next
            takes, takes_next = takes_next, False  # when the two fail together, the outcome is written alone
            with transaction.atomic():
                written = claims.finalize(claim, ending, now=self._clock())
                seconds, now = self._times.claim_lease, self._clock()
                worker = claims.worker_name()
                return written, claims.claim_next(
                    claim.account_id, worker, lease_seconds=seconds, now=now
                ) if takes else None

        written, self.following = recovery.persistently(write, self._waits())
        settled = ending.settlement
        logs.event(
            logger,
            "send_attempt",
            logging.INFO if settled.status == OutboxMessage.Status.SENT else logging.WARNING,
            account=claim.account_id,
            outbox_id=claim.outbox_id,
            message_id=claim.message_id,
            outcome=settled.verdict.value,
            hold=settled.hold,
            phase=ending.phase,
            error_code=settled.error_code,
            reply=logs.provider_words(ending.reply),
            written=written,
        )

    def _abandon(self, claim: Claim, words: str) -> None:
        self._drop()
        try:
            recovery.persistently(lambda: claims.release(claim, words, now=self._clock()), self._waits(2))
        except (OperationalError, InterfaceError) as error:  # the lease ends by itself
            logs.event(logger, "claim_not_released", logging.WARNING, outbox_id=claim.outbox_id, error=str(error))

    def _after_trouble(self, claim: Claim, watch: AttemptWatch, words: str, *, counts: bool) -> None:
        """Our own failure. Before "data" the row goes back; `counts` makes it wait like any other failure, so that
        a row that trips us each time does not keep the queue. After "data" it is uncertain."""
        self._drop()
        self.is_parked = True
        if not watch.data_committed and not counts:
            self._abandon(claim, words)
            return
        verdict = Verdict.UNCERTAIN if watch.data_committed else Verdict.TRANSIENT
        settled = retry.settle_failure(claim.tried, verdict, Code.STORAGE.value, limits=limits(), now=self._clock())
        ending = Ending(settled, words, phase=watch.phase.value, transcript=watch.transcript)
        try:
            recovery.persistently(lambda: claims.finalize(claim, ending, now=self._clock()), self._waits(2))
        except (OperationalError, InterfaceError) as error:  # the sweep comes to the same
            logs.event(logger, "not_finalized", logging.WARNING, outbox_id=claim.outbox_id, error=str(error))

    def _drop(self) -> None:
        """The session may be in the middle of anything: close it without a word."""
        if self._session is not None:
            self._session.drop()
            self._session = None
