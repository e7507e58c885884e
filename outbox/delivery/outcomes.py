"""Decides the outcome of an attempt from the server's replies; `now` is handed in.

Pure, except for `prepare` and `lacking`, which read the database and the raw store before the session begins.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings

from mailbox import logs
from mailbox.db import statements
from mailbox.storage import out_of_reach, raw_store
from outbox.compose import build as compose_build
from outbox.compose import private_part
from outbox.delivery import claims_sql
from outbox.delivery.attempt_watch import AttemptWatch
from outbox.delivery.claims import Claim
from outbox.delivery.endings import AttemptOutcome
from outbox.errors import ErrorCode
from outbox.models import DeliveryAttempt, OutboxMessage
from outbox.retry import policy as retry_policy
from outbox.retry.classification import classify, is_for_now
from outbox.retry.faults import Fault, Kind, Phase, Verdict
from outbox.retry.policy import RetryLimits
from outbox.smtp.connection import SmtpFailure
from outbox.smtp.mail import Delivery, Mail
from outbox.smtp.replies import Reply

logger = logging.getLogger(__name__)
AWAY_WORDS = "Nothing was sent; it goes out by itself once the raw store can be read again."
GONE_WORDS = (
    "Nothing was sent. If this worker has a data folder of its own (PRX_EMAIL_DATA_DIR), give it the one of the site "
    "and of the other workers, or name a store they share (PRX_EMAIL_RAW_STORAGE)."
)
REFUSED = "451 4.3.0 drill: the provider was made to refuse on purpose; nothing was sent."
DRILLS = {
    "network": Fault(Phase.CONNECT, Kind.NETWORK, "drill: the network was made to fail on purpose; nothing was sent."),
    "provider": Fault(Phase.CONNECT, Kind.REPLY, REFUSED, 451),
}


@dataclass(frozen=True)
class Recipients:
    """The recipients to try, and those that an earlier attempt found refused for good.

    Read before the session begins: between the server's answer and finalize, no query may fail.
    """

    to_try: Sequence[str]
    refused_before: frozenset[str]  # those of `to_try` with a transient refusal
    refused_for_good: Mapping[str, Reply]
    dsn_parameters: Mapping[str, str]  # of those who have any, as a program submitted them


@dataclass(frozen=True)
class PreparedAttempt:
    """A claimed row with everything that its attempt needs, read before the session is used.

    mail: None if there is a fault, or nobody to send it to. fault: the reason why nothing must be sent. code: its error
    code.
    """

    claim: Claim
    recipients: Recipients
    mail: Mail | None = None
    fault: Fault | None = None
    code: ErrorCode | None = None
    looks: int = 0  # failed attempts to read the stored mail, this one included
    is_gone: bool = False  # the raw store works, and does not have the file


@dataclass(frozen=True, eq=False)
class UnwrittenOutcome:
    """An outcome that is known and not saved yet."""

    claim: Claim
    ending: AttemptOutcome
    now: datetime


def limits() -> RetryLimits:
    """The limits of retries in this installation: OUTBOX_BASE_BACKOFF_SECONDS and OUTBOX_GIVE_UP_DAYS."""
    return RetryLimits(settings.OUTBOX_BASE_BACKOFF_SECONDS, timedelta(days=settings.OUTBOX_GIVE_UP_DAYS))


def lacking(pk: int) -> Recipients:
    """The envelope recipients of the next attempt: neither accepted nor refused for good."""
    found = statements.rows(claims_sql.LACKING, [pk])
    refused = {address: Reply(code or 450, words) for address, status, code, words, _ in found if status == "refused"}
    for_good = {address: reply for address, reply in refused.items() if not is_for_now(reply.code, reply.text)}
    to_try = [address for address, *_ in found if address not in for_good]
    dsn_parameters = {address: parameters for address, *_, parameters in found if parameters}
    return Recipients(to_try, frozenset(refused.keys() - for_good.keys()), for_good, dsn_parameters)


def prepare(claim: Claim, read: Callable[[], bytes]) -> PreparedAttempt:
    """Read what the attempt of a claimed row needs. Raises database errors; a missing raw file is a `fault`.

    read: returns the frozen mail, or raises as raw_store.open_raw does.
    """
    recipients = lacking(claim.outbox_id)
    work = PreparedAttempt(claim, recipients)
    if claim.failure_mode:
        return replace(work, fault=DRILLS[claim.failure_mode])
    if not recipients.to_try:
        return work
    try:
        frozen, secrets = private_part.filled(read(), claim.private_part, recipients.to_try)
    except raw_store.RawOutOfReach as error:
        out_of_reach.note(error.segment)
        gone = isinstance(error.__cause__, FileNotFoundError)
        fault = Fault(Phase.CLAIM, Kind.AWAY, f"{error}. {GONE_WORDS if gone else AWAY_WORDS}")
        ended = DeliveryAttempt.objects.filter(outbox_id=claim.outbox_id, phase=Phase.CLAIM.value)
        looks = 1 + ended.filter(outcome__in=(Verdict.TRANSIENT, Verdict.PERMANENT)).count()
        return replace(work, fault=fault, code=ErrorCode.STORAGE, looks=looks, is_gone=gone)
    except (raw_store.RawMissing, private_part.NothingToSay) as error:
        code = ErrorCode.STORAGE if isinstance(error, raw_store.RawMissing) else None
        return replace(work, fault=Fault(Phase.CLAIM, Kind.LOCAL, str(error)), code=code)
    mail = Mail(
        claim.mail_from,
        recipients.to_try,
        compose_build.stamped(frozen, claim.message_id, claim.prx_attempt),
        secrets,
        claim.needs_smtputf8,
        claim.prx_attempt,
        claim.dsn_parameters,
        recipients.dsn_parameters,
    )
    return replace(work, mail=mail)


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
    settled = retry_policy.settle_accepted(work.claim.tried, for_good, limits=limits(), now=now)
    if delivery.final is None and settled.verdict is Verdict.PARTIAL:
        verdict = Verdict.TRANSIENT if settled.hold != OutboxMessage.Hold.PERMANENT else Verdict.PERMANENT
        settled = replace(settled, verdict=verdict)
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


def log(outcome: UnwrittenOutcome, written: bool) -> None:
    """Log one line for the attempt, without addresses or secrets. `written`: the outcome was saved on the row."""
    claim, ending, settled = outcome.claim, outcome.ending, outcome.ending.settlement
    level = logging.INFO if ending.is_sent else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    logs.event(
        logger,
        "send_attempt",
        level,
        account=claim.account_id,
        outbox_id=claim.outbox_id,
        message_id=claim.message_id,
        number=claim.number,
        seconds=round(max((outcome.now - claim.claimed_at).total_seconds(), 0), 3),
        outcome=settled.verdict.value,
        hold=settled.hold,
        phase=ending.phase,
        code=ending.reply_code,
        error_code=settled.error_code,
        reply=logs.provider_words(ending.reply),
        written=written,
    )
