"""The outbox's state machine in the database: claim, data, finalize, release, recover.

Each step is one conditional UPDATE whose row count is checked, so that of two workers one wins on SQLite and on
PostgreSQL alike. Transactions here are a few statements long and never open while a socket is used.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from mailbox import logs
from mailbox.models import Counter

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, F, Max, OuterRef

from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient
from outbox.models.messages import OutboxQuerySet
from outbox.retry import Settlement, Tried, Verdict, is_transient_code
from outbox.smtp_replies import Reply

logger = logging.getLogger(__name__)
Status, Hold = OutboxMessage.Status, OutboxMessage.Hold
UNCLAIMED = {"claim_token": "", "claimed_by": "", "lease_expires_at": None}
RECOVER_AT_ONCE = 500


@dataclass(frozen=True)
class Claim:
    """A row that is ours until its lease ends, and the attempt we make of it."""

    outbox_id: int
    account_id: int
    token: str
    attempt_id: int
    message_id: str
    prx_attempt: str
    failure_mode: str
    tried: Tried


@dataclass(frozen=True)
class Ending:
    """How an attempt ended: what becomes of the row, and what the attempt's own row keeps."""

    settlement: Settlement
    reply: str = ""
    reply_code: int | None = None
    phase: str = "claim"
    transcript: Sequence[Mapping[str, str]] = ()
    accepted: Sequence[str] = ()
    refused: Mapping[str, Reply] = field(default_factory=dict)


def claim_next(account_id: int, worker: str, *, lease_seconds: float, now: datetime) -> Claim | None:
    """Claim the account's row that has been due for longest, or None. Holds are left alone."""
    due = OutboxMessage.objects.due(now).filter(account_id=account_id)
    while (pk := due.order_by("next_attempt_at", "pk").values_list("pk", flat=True).first()) is not None:
        if claim := claim_row(pk, worker, lease_seconds=lease_seconds, now=now):
            return claim
    return None


def claim_row(pk: int, worker: str, *, lease_seconds: float, now: datetime) -> Claim | None:
    """Claim this row if it is due and free, and write down the attempt with the claim; None when another has it."""
    token = secrets.token_hex(16)
    with transaction.atomic():
        # F("status") is the value before this UPDATE, on both databases.
        won = (
            OutboxMessage.objects.due(now)
            .filter(pk=pk)
            .update(
                status=Status.SENDING,
                former_status=F("status"),
                claim_token=token,
                claimed_by=worker,
                lease_expires_at=now + timedelta(seconds=lease_seconds),
                data_at=None,
                updated_at=now,
            )
        )
        return _begin_attempt(pk, token, worker, now) if won == 1 else None


def _begin_attempt(pk: int, token: str, worker: str, now: datetime) -> Claim:
    row = OutboxMessage.objects.only("account_id", "retries", "created_at", "requested_by_id", "failure_mode").get(
        pk=pk
    )
    last = DeliveryAttempt.objects.filter(outbox_id=pk).aggregate(last=Max("number"))["last"] or 0
    attempt = DeliveryAttempt.objects.create(
        outbox_id=pk,
        number=last + 1,
        claim_token=token,
        worker=worker,
        requested_by_id=row.requested_by_id,
        failure_mode=row.failure_mode,
        message_id=f"<outbox-{pk}-{row.retries}@{settings.MESSAGE_ID_DOMAIN}>",
        prx_attempt=secrets.token_hex(16),
        started_at=now,
    )
    if row.requested_by_id or row.failure_mode:  # asked for this one attempt only
        OutboxMessage.objects.filter(pk=pk).update(requested_by=None, failure_mode="")
    if last:
        Counter.add(row.account_id, Counter.Name.RETRIES, now)
    tried = Tried(row.retries, row.created_at)
    return Claim(
        pk, row.account_id, token, attempt.pk, attempt.message_id, attempt.prx_attempt, attempt.failure_mode, tried
    )


def _ours(claim: Claim) -> OutboxQuerySet:
    return OutboxMessage.objects.filter(pk=claim.outbox_id, status=Status.SENDING, claim_token=claim.token)


def extend(claim: Claim, phase: str, *, lease_seconds: float, now: datetime) -> bool:
    """Before "data": push the lease's end and write how far the attempt is; False when the claim is no longer ours."""
    with transaction.atomic():
        if _ours(claim).update(lease_expires_at=now + timedelta(seconds=lease_seconds), updated_at=now) != 1:
            return False
        DeliveryAttempt.objects.filter(pk=claim.attempt_id).update(phase=phase)
    return True


def commit_data(
    claim: Claim, refused: Mapping[str, Reply], transcript: list[dict[str, str]], *, lease_seconds: float, now: datetime
) -> bool:
    """Write down that DATA is about to be sent. False: the claim is lost, and DATA must not be sent."""
    with transaction.atomic():
        lease = now + timedelta(seconds=lease_seconds)
        if _ours(claim).filter(data_at=None).update(data_at=now, lease_expires_at=lease, updated_at=now) != 1:
            return False
        DeliveryAttempt.objects.filter(pk=claim.attempt_id).update(phase="data", data_at=now, transcript=transcript)
        _write_refused(claim.outbox_id, refused)
    return True


def _write_refused(pk: int, refused: Mapping[str, Reply]) -> None:
    for address, reply in refused.items():
        OutboxRecipient.objects.filter(outbox_id=pk, address=address).update(
            status=OutboxRecipient.Status.REFUSED, reply_code=reply.code, reply=reply.text
        )


def finalize(claim: Claim, ending: Ending, *, now: datetime) -> bool:
    """Write the outcome, on condition that the claim is still ours, or that the row waits uncertain for our answer.

    False when neither holds: another attempt, or a person, has decided; only the attempt's own row is written.
    """
    settled = ending.settlement
    with transaction.atomic():
        changes = {
            "status": settled.status,
            "hold": settled.hold,
            "retries": settled.retries,
            "next_attempt_at": settled.next_attempt_at,
            "error_code": settled.error_code,
            "error": "" if settled.status == Status.SENT else ending.reply,
            "updated_at": now,
            **UNCLAIMED,
        }
        if settled.status == Status.SENT:
            changes |= {"sent_at": now, "provider_message_id": claim.message_id}
        if settled.hold != Hold.UNCERTAIN:
            changes |= {"data_at": None}
        written = _ours(claim).update(**changes) or _our_uncertain(claim).update(**changes)
        _finish_attempt(claim, ending, now)
        if written:
            _write_recipients(claim, ending, now)
            _count(claim, settled, now)
    return bool(written)


def _our_uncertain(claim: Claim) -> OutboxQuerySet:
    """Our lease lapsed while we waited for the answer: the row is a question that we can now answer ourselves."""
    ours = DeliveryAttempt.objects.get(pk=claim.attempt_id)
    later = DeliveryAttempt.objects.filter(outbox_id=OuterRef("pk"), number__gt=ours.number)
    uncertain = OutboxMessage.objects.filter(pk=claim.outbox_id, status=Status.FAILED, hold=Hold.UNCERTAIN)
    return uncertain.filter(~Exists(later))


def _finish_attempt(claim: Claim, ending: Ending, now: datetime) -> None:
    DeliveryAttempt.objects.filter(pk=claim.attempt_id).update(
        outcome=ending.settlement.verdict,
        phase=ending.phase,
        reply_code=ending.reply_code,
        reply=ending.reply,
        transcript=list(ending.transcript),
        finished_at=now,
    )


def _write_recipients(claim: Claim, ending: Ending, now: datetime) -> None:
    _write_refused(claim.outbox_id, ending.refused)
    if ending.accepted:
        OutboxRecipient.objects.filter(outbox_id=claim.outbox_id, address__in=ending.accepted).update(
            status=OutboxRecipient.Status.ACCEPTED, reply_code=ending.reply_code, reply=ending.reply, accepted_at=now
        )


def _count(claim: Claim, settled: Settlement, now: datetime) -> None:
    if settled.verdict in (Verdict.ACCEPTED, Verdict.PARTIAL):
        Counter.add(claim.account_id, Counter.Name.SENDS, now)
    if settled.status != Status.SENT:
        Counter.add(claim.account_id, Counter.Name.SEND_FAILURES, now)


def release(claim: Claim, reply: str, *, now: datetime) -> bool:
    """Give the row back as it was: nothing was sent, and it is no fault of the mail or the server."""
    with transaction.atomic():
        freed = _ours(claim).update(status=F("former_status"), data_at=None, updated_at=now, **UNCLAIMED)
        DeliveryAttempt.objects.filter(pk=claim.attempt_id, outcome="").update(
            outcome=Verdict.ABANDONED, reply=reply, finished_at=now
        )
    return freed == 1


def recover(now: datetime) -> tuple[int, int]:
    """Settle the rows whose lease ran out: back to their former state before "data", uncertain after it.

    Returns (given back, uncertain). A worker that still lives finds its claim gone, or settles its own question.
    """
    lapsed = OutboxMessage.objects.sending().filter(lease_expires_at__lte=now).order_by("lease_expires_at")
    found = list(lapsed.values_list("pk", "claim_token")[:RECOVER_AT_ONCE])
    outcomes = [_recover_row(pk, token, now) for pk, token in found]
    return outcomes.count(Verdict.ABANDONED), outcomes.count(Verdict.UNCERTAIN)


def _recover_row(pk: int, token: str, now: datetime) -> Verdict | None:
    lapsed = OutboxMessage.objects.filter(pk=pk, status=Status.SENDING, claim_token=token, lease_expires_at__lte=now)
    words = "The worker stopped after DATA was begun and before the server's answer was written down."
    with transaction.atomic():
        # Behind what is due already: a row that kills its worker each time must not keep the others waiting.
        back = lapsed.filter(data_at=None).update(
            status=F("former_status"), next_attempt_at=now, updated_at=now, **UNCLAIMED
        )
        asked = (
            0
            if back
            else lapsed.filter(data_at__isnull=False).update(
                status=Status.FAILED, hold=Hold.UNCERTAIN, error=words, next_attempt_at=now, updated_at=now, **UNCLAIMED
            )
        )
        verdict = Verdict.ABANDONED if back else Verdict.UNCERTAIN if asked else None
        if verdict:
            DeliveryAttempt.objects.filter(claim_token=token, outcome="").update(outcome=verdict, finished_at=now)
    if verdict:
        logs.event(logger, "claim_lapsed", logging.WARNING, outbox_id=pk, outcome=verdict.value)
    return verdict


def recipients_to_try(pk: int) -> list[str]:
    """Envelope recipients of the next attempt: not yet accepted, and not refused for good."""
    rows = OutboxRecipient.objects.filter(outbox_id=pk).exclude(status=OutboxRecipient.Status.ACCEPTED).order_by("pk")
    return [row.address for row in rows if row.status == OutboxRecipient.Status.WAITING or _may_try(row)]


def refused_for_good(pk: int) -> dict[str, Reply]:
    """Recipients that an earlier attempt was refused for good."""
    rows = OutboxRecipient.objects.filter(outbox_id=pk, status=OutboxRecipient.Status.REFUSED)
    return {row.address: Reply(row.reply_code or 550, row.reply) for row in rows if not _may_try(row)}


def _may_try(row: OutboxRecipient) -> bool:
    return row.reply_code is None or is_transient_code(row.reply_code)


def postpone_queue(account_id: int, until: datetime, now: datetime) -> int:
    """The server is to be left alone until then: what would be due earlier waits as long, and no retry is counted."""
    waiting = OutboxMessage.objects.waiting().filter(account_id=account_id, next_attempt_at__lt=until)
    return waiting.update(next_attempt_at=until, updated_at=now)


def lift_sign_in_holds(account_id: int, now: datetime) -> int:
    """The credentials work again, or are new: what waited for them is due at once."""
    held = OutboxMessage.objects.filter(account_id=account_id, status=Status.FAILED, hold=Hold.SIGN_IN)
    return held.update(hold="", next_attempt_at=now, updated_at=now)


def persistently(step: Callable[[], bool], wait: Callable[[int], bool]) -> bool:
    """Do a step again through database errors, as long as `wait(tries)` says that there is time."""
    tries = 0
    while True:
        try:
            return step()
        except (OperationalError, InterfaceError) as error:
            tries += 1
            logs.event(logger, "finalize_retried", logging.WARNING, tries=tries, error=str(error))
            connection.close()  # it may be the connection that is broken
            if not wait(tries):
                raise
