"""Decides the outcome of an attempt from the server's replies. Pure; `now` is handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from outbox.delivery.attempt_watch import AttemptWatch
from outbox.delivery.preparation import PreparedAttempt
from outbox.errors import ErrorCode
from outbox.models import OutboxMessage
from outbox.retry import policy as retry_policy
from outbox.retry.classification import classify, is_for_now
from outbox.retry.faults import Fault, Kind, Phase, Verdict
from outbox.retry.policy import RetryLimits, Settlement
from outbox.smtp.connection import SmtpFailure
from outbox.smtp.mail import Delivery
from outbox.smtp.replies import Reply


@dataclass(frozen=True)
class AttemptOutcome:
    """The outcome of an attempt: the new state of the row (`settlement`), and what the attempt's own row keeps."""

    settlement: Settlement
    reply: str = ""
    reply_code: int | None = None
    phase: str = "claim"
    transcript: Sequence[Mapping[str, str]] = ()
    accepted: Sequence[str] = ()
    refused: Mapping[str, Reply] = field(default_factory=dict)

    @property
    def is_sent(self) -> bool:
        """Whether the row becomes "sent"."""
        return self.settlement.status == OutboxMessage.Status.SENT


def limits() -> RetryLimits:
    """The limits of retries in this installation: OUTBOX_BASE_BACKOFF_SECONDS and OUTBOX_GIVE_UP_DAYS."""
    return RetryLimits(settings.OUTBOX_BASE_BACKOFF_SECONDS, timedelta(days=settings.OUTBOX_GIVE_UP_DAYS))


def asked_to_wait(delivery: Delivery) -> Fault | None:
    """The fault to report when every recipient was refused for reasons of ours: throttling, or the sign-in.

    None when a recipient was refused for its own sake: that reply must be kept, and shows that the limit does not stop
    the whole queue. A refused sign-in comes before throttling, and of several waits the longest counts.
    """
    if delivery.final is not None or not delivery.refused:
        return None
    faults = [Fault(Phase.RCPT, Kind.REPLY, str(reply), reply.code) for reply in delivery.refused.values()]
    verdicts = [classify(fault) for fault in faults]
    if not {*verdicts} <= {Verdict.SIGN_IN, Verdict.THROTTLED}:
        return None
    if Verdict.SIGN_IN in verdicts:
        return faults[verdicts.index(Verdict.SIGN_IN)]
    return max(
        faults, key=lambda fault: retry_policy.unavailable_seconds(Verdict.THROTTLED, 1, fault.reply, 1, fault.code)
    )


def of_answer(work: PreparedAttempt, delivery: Delivery, watch: AttemptWatch, now: datetime) -> AttemptOutcome:
    """The outcome when the server has answered for each recipient, and for the mail if any was accepted."""
    lacking = {**work.recipients.refused_for_good, **delivery.refused}
    for_good = [None if is_for_now(each.code, each.text) else each.code for each in lacking.values()]
    is_accepted = delivery.final is not None
    settled = retry_policy.settle_answered(
        work.claim.tried, for_good, is_accepted=is_accepted, limits=limits(), now=now
    )
    words = "\n".join(f"{address}: {reply}" for address, reply in lacking.items())
    return AttemptOutcome(
        settled,
        reply=words or str(delivery.final or ""),
        reply_code=delivery.final.code if delivery.final else next((each.code for each in lacking.values()), None),
        phase=(Phase.ACCEPTED if delivery.final else Phase.RCPT if delivery.refused else watch.phase).value,
        transcript=watch.transcript,
        accepted=delivery.accepted if delivery.final else (),
        refused=delivery.refused,
    )


def of_failure(
    work: PreparedAttempt, failure: SmtpFailure, watch: AttemptWatch, *, failures: int, now: datetime
) -> tuple[AttemptOutcome, datetime]:
    """The outcome of a failed attempt, and until when the account's queue waits if the server is at fault.

    failures: of the server in a row, with this one.
    """
    fault = failure.fault
    verdict, error_code = classify(fault), (work.code or retry_policy.error_code(fault)).value
    wait = retry_policy.unavailable_seconds(
        verdict, failures, fault.reply, settings.OUTBOX_BASE_BACKOFF_SECONDS, fault.code
    )
    until = now + timedelta(seconds=wait)
    if verdict is Verdict.THROTTLED:
        settled = retry_policy.settle_throttled(work.claim.tried, error_code, until, limits=limits(), now=now)
    elif fault.kind is Kind.AWAY:
        settled = retry_policy.settle_away(
            work.claim.tried, work.looks, error_code, is_gone=work.is_gone, limits=limits(), now=now
        )
    else:
        settled = retry_policy.settle_failure(work.claim.tried, verdict, error_code, limits=limits(), now=now)
        # The row that met the failure is tried again at its own time, and the rest of the queue not before it.
        until = min(until, settled.next_attempt_at) if not settled.hold else until
    phase = fault.phase if fault.phase is not Phase.ACCEPTED else Phase.DOT
    return AttemptOutcome(
        settled, fault.reply, fault.code, phase.value, watch.transcript, refused=failure.refused
    ), until


def of_trouble(watch: AttemptWatch, words: str, now: datetime) -> AttemptOutcome:
    """The outcome after a failure of our own: uncertain if the end of the mail was written."""
    verdict = Verdict.UNCERTAIN if watch.may_be_taken else Verdict.TRANSIENT
    settled = retry_policy.settle_failure(watch.claim.tried, verdict, ErrorCode.STORAGE.value, limits=limits(), now=now)
    return AttemptOutcome(settled, words, phase=watch.phase.value, transcript=watch.transcript)
