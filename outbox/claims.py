"""The outbox's state machine in the database: claim, data, finalize, release; see recovery for what lapses.

Each step is one conditional UPDATE whose row count is checked, so that of two workers one wins on SQLite and on
PostgreSQL alike. Transactions here are a few statements long and never open while a socket is used.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from mailbox.models import Counter

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef

from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient
from outbox.models.messages import OutboxQuerySet
from outbox.retry import Settlement, Tried, Verdict, is_transient_code
from outbox.smtp_replies import Reply

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold
UNCLAIMED = {"claim_token": "", "claimed_by": "", "lease_expires_at": None}
NEEDED = (
    "account_id",
    "retries",
    "created_at",
    "requested_by_id",
    "failure_mode",
    "mail_from",
    "mime_digest",
    "needs_smtputf8",
)


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
    mail_from: str
    mime_digest: str
    needs_smtputf8: bool


@dataclass(frozen=True)
class Recipients:
    """Whom the next attempt is for, and who was refused for good by an earlier one. Read before the session begins:
    between the server's answer and its finalize nothing is asked of the database that might fail."""

    to_try: Sequence[str]
    refused_before: frozenset[str]  # of those to try: refused for the time being
    refused_for_good: Mapping[str, Reply]


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


def worker_name() -> str:
    return f"{socket.gethostname()}/{os.getpid()}"


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
    with transaction.atomic(savepoint=False):
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
    row = OutboxMessage.objects.only(*NEEDED).get(pk=pk)
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
    return Claim(
        pk,
        row.account_id,
        token,
        attempt.pk,
        attempt.message_id,
        attempt.prx_attempt,
        attempt.failure_mode,
        Tried(row.retries, row.created_at),
        row.mail_from,
        row.mime_digest,
        row.needs_smtputf8,
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
    claim: Claim,
    refused: Mapping[str, Reply],
    transcript: list[dict[str, str]],
    *,
    lease_seconds: float,
    now: datetime,
    no_longer_refused: Sequence[str] = (),
) -> bool:
    """Write down that DATA is about to be sent. False: the claim is lost, and DATA must not be sent.

    `no_longer_refused`: taken by the server now, after an earlier refusal. Should the outcome stay unknown, "Mark as
    sent" must count them among those who have the mail.
    """
    with transaction.atomic():
        lease = now + timedelta(seconds=lease_seconds)
        if _ours(claim).filter(data_at=None).update(data_at=now, lease_expires_at=lease, updated_at=now) != 1:
            return False
        DeliveryAttempt.objects.filter(pk=claim.attempt_id).update(phase="data", data_at=now, transcript=transcript)
        _write_refused(claim.outbox_id, refused)
        if no_longer_refused:
            OutboxRecipient.objects.filter(outbox_id=claim.outbox_id, address__in=no_longer_refused).update(
                status=OutboxRecipient.Status.WAITING, reply_code=None, reply=""
            )
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
    with transaction.atomic(savepoint=False):
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
    later = DeliveryAttempt.objects.filter(outbox_id=OuterRef("pk"), pk__gt=claim.attempt_id)
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


def recipients(pk: int) -> Recipients:
    """Envelope recipients of the next attempt: not yet accepted, and not refused for good."""
    lacking = OutboxRecipient.objects.filter(outbox_id=pk).exclude(status=OutboxRecipient.Status.ACCEPTED)
    rows = list(lacking.order_by("pk").values_list("address", "status", "reply_code", "reply"))
    refused = {address: Reply(code or 450, words) for address, status, code, words in rows if status == "refused"}
    for_good = {address: reply for address, reply in refused.items() if not is_transient_code(reply.code)}
    to_try = [address for address, *_ in rows if address not in for_good]
    return Recipients(to_try, frozenset(refused.keys() - for_good.keys()), for_good)
