"""One sender of one account: attempts claimed rows, one after another, on one SMTP session."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from mailbox import logs, rawstore
from mailbox.credentials import DecryptionFailed
from mailbox.models import Account

from django.conf import settings
from django.db import InterfaceError, OperationalError

from outbox import claims, compose, retry
from outbox.claims import Claim, Ending
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

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def attempt(self, claim: Claim) -> bool:
        """Deliver one claimed row and write down what came of it; True when it was sent.

        Raises what is unexpected, after the row has been settled.
        """
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
        self._finalize(claim, ending)
        return ending.settlement.status == OutboxMessage.Status.SENT

    # --- Trying -------------------------------------------------------------------------------------------------
    def _outcome(self, claim: Claim, watch: AttemptWatch) -> Ending:
        if claim.failure_mode:
            kind = Kind.NETWORK if claim.failure_mode == "network" else Kind.REPLY
            fault = Fault(Phase.CONNECT, kind, DRILL_WORDS[claim.failure_mode], 451 if kind is Kind.REPLY else None)
            return self._failed(claim, watch, fault, parks=False)
        recipients = claims.recipients_to_try(claim.outbox_id)
        if not recipients:
            return self._accepted(claim, watch, Delivery())
        row = OutboxMessage.objects.only("mail_from", "mime_digest", "needs_smtputf8").get(pk=claim.outbox_id)
        try:
            content = compose.stamped(rawstore.open_raw(row.mime_digest), claim.message_id, claim.prx_attempt)
        except rawstore.RawMissing as error:
            return self._failed(
                claim, watch, Fault(Phase.CLAIM, Kind.LOCAL, str(error)), parks=False, code=Code.STORAGE
            )
        try:
            session = self._open_session(watch)
        except SmtpFailure as failure:
            return self._failed(claim, watch, failure.fault, parks=True)
        except DecryptionFailed as error:
            return self._failed(claim, watch, Fault(Phase.AUTH, Kind.REPLY, str(error), 535), parks=True)
        return self._deliver(session, Envelope(row.mail_from, recipients, row.needs_smtputf8), content, claim, watch)

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

    def _deliver(
        self, session: SmtpSession, envelope: Envelope, content: bytes, claim: Claim, watch: AttemptWatch
    ) -> Ending:
        def commit_data(delivery: Delivery) -> bool:
            lease, now = self._times.data_lease, self._clock()
            # A commit that raises may have happened all the same; nothing was sent, so the row goes back either way.
            kept = claims.commit_data(claim, delivery.refused, watch.transcript, lease_seconds=lease, now=now)
            watch.data_committed = kept
            return kept

        try:
            delivery = session.deliver(envelope, content, commit_data)
        except SmtpFailure as failure:
            is_lost = failure.fault.kind in (Kind.NETWORK, Kind.PROTOCOL) and not watch.data_committed
            return self._failed(claim, watch, failure.fault, parks=is_lost, refused=failure)
        if delivery.stopped:
            raise ClaimLost
        return self._accepted(claim, watch, delivery)

    # --- Deciding -----------------------------------------------------------------------------------------------
    def _accepted(self, claim: Claim, watch: AttemptWatch, delivery: Delivery) -> Ending:
        """The server answered for each recipient, and for the mail if one of them was accepted."""
        now = self._clock()
        lacking = {**claims.refused_for_good(claim.outbox_id), **delivery.refused}
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
            smtp.mark_needs_sign_in(fault.reply, now)
            self.is_parked = True
        elif parks or verdict is Verdict.THROTTLED:
            smtp.mark_unavailable(fault.reply, until)
            claims.postpone_queue(claim.account_id, until, now)
            self.is_parked = True
        phase = fault.phase if fault.phase is not Phase.ACCEPTED else Phase.DATA
        return Ending(
            settled, fault.reply, fault.code, phase.value, watch.transcript, refused=refused.refused if refused else {}
        )

    # --- Writing down -------------------------------------------------------------------------------------------
    def _finalize(self, claim: Claim, ending: Ending) -> None:
        give_up = time.monotonic() + self._times.finalize

        def wait(tries: int) -> bool:
            time.sleep(min(2.0, 0.05 * 2 ** min(tries, 6)))
            self._lease.keep()
            return time.monotonic() < give_up

        written = claims.persistently(lambda: claims.finalize(claim, ending, now=self._clock()), wait)
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
            claims.release(claim, words, now=self._clock())
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
            claims.finalize(claim, ending, now=self._clock())
        except (OperationalError, InterfaceError) as error:  # the sweep comes to the same
            logs.event(logger, "not_finalized", logging.WARNING, outbox_id=claim.outbox_id, error=str(error))

    def _drop(self) -> None:
        """The session may be in the middle of anything: close it without a word."""
        if self._session is not None:
            self._session.drop()
            self._session = None
