"""The steps of a claim in the database: claim, extend, commit_dot, withdraw_dot, release.

Outcomes are saved by endings; expired claims are settled by recovery.

Each step is one conditional UPDATE whose row count is checked, so that one of two workers wins, on SQLite and on
PostgreSQL alike. Transactions are a few statements long and never open while a socket is used. Several steps may share
one: the outcome of a mail, "dot" of the next, and the claim of the one after it.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from mailbox.db import statements
from outbox.delivery import claims_sql
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient
from outbox.models.messages import OutboxQuerySet
from outbox.retry.faults import Verdict
from outbox.retry.policy import Tried
from outbox.smtp.replies import Reply

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold
UNCLAIMED = {"claim_token": "", "claimed_by": "", "lease_expires_at": None}


@dataclass(frozen=True)
class Claim:
    """A row that this worker has claimed until its lease expires, with the attempt to be made."""

    outbox_id: int
    account_id: int
    token: str
    attempt_id: int
    number: int  # of the attempt; 1 for the first
    requested_by_id: int | None
    message_id: str
    prx_attempt: str
    failure_mode: str
    tried: Tried
    mail_from: str
    mime_digest: str
    private_part: str  # "" for nearly all rows
    needs_smtputf8: bool
    dsn_parameters: str  # "" of nearly all
    claimed_at: datetime
    lease_seconds: float


def worker_name() -> str:
    """ "host/pid" of this process, as leases, claims and attempts name their worker."""
    return f"{socket.gethostname()}/{os.getpid()}"


def claim_next(account_id: int, worker: str, *, lease_seconds: float, now: datetime) -> Claim | None:
    """Claim the account's row that has been due longest; None when there is none. Rows with a hold are not claimed."""
    found = claim_some(account_id, worker, most=1, lease_seconds=lease_seconds, now=now)
    return found[0] if found else None


def claim_some(account_id: int, worker: str, *, most: int, lease_seconds: float, now: datetime) -> list[Claim]:
    """Claim at most `most` rows of the account, those that have been due longest, in that order."""
    token, lease = secrets.token_hex(8) + "-", now + timedelta(seconds=lease_seconds)
    with statements.in_transaction():
        return _begin_attempts(
            claims_sql.claim_next(account_id, most, token, worker, lease, now), worker, lease_seconds, now
        )


def claim_row(pk: int, worker: str, *, lease_seconds: float, now: datetime) -> Claim | None:
    """Claim this row if it is due, and save its attempt in the same transaction; None when it is not, or is claimed."""
    token, lease = secrets.token_hex(8) + "-", now + timedelta(seconds=lease_seconds)
    with statements.in_transaction():
        found = _begin_attempts(claims_sql.claim_row(pk, token, worker, lease, now), worker, lease_seconds, now)
    return found[0] if found else None


def _begin_attempts(found: Sequence[tuple[Any, ...]], worker: str, lease_seconds: float, now: datetime) -> list[Claim]:
    if not found:
        return []
    stamp = secrets.token_hex(4)  # common prefix of the marks, so that they are neighbours in the index
    begun = [_attempt_of(row, worker, stamp, now) for row in found]
    pks = statements.insert(DeliveryAttempt, "outbox_id", begun)
    asked = [attempt["outbox_id"] for attempt in begun if attempt["requested_by_id"] or attempt["failure_mode"]]
    if asked:  # a drill is for this one attempt only
        OutboxMessage.objects.filter(pk__in=asked).update(requested_by=None, failure_mode="")
    return [_claim_of(row, attempt, pks[row[0]], lease_seconds, now) for row, attempt in zip(found, begun, strict=True)]


def _attempt_of(row: tuple[Any, ...], worker: str, stamp: str, now: datetime) -> dict[str, Any]:
    pk, _account_id, retries, _since, requested_by_id, failure_mode, *_, token, _due, number, message_id, _part = row
    return {
        "outbox_id": pk,
        "number": number,
        "claim_token": token,
        "worker": worker,
        "requested_by_id": requested_by_id,
        "failure_mode": failure_mode,
        "message_id": message_id or f"<outbox-{pk}-{retries}@{settings.MESSAGE_ID_DOMAIN}>",
        "prx_attempt": stamp + secrets.token_hex(12),
        "transcript": claims_sql.room_for_transcript(),
        "started_at": statements.instant(now),
    }


def _claim_of(
    row: tuple[Any, ...], attempt: Mapping[str, Any], attempt_id: int, lease_seconds: float, now: datetime
) -> Claim:
    pk, account_id, retries, since, requested_by_id, failure_mode, mail_from, digest, needs_smtputf8, dsn, token, *_ = (
        row
    )
    return Claim(
        outbox_id=pk,
        account_id=account_id,
        token=token,
        attempt_id=attempt_id,
        number=attempt["number"],
        requested_by_id=requested_by_id,
        message_id=attempt["message_id"],
        prx_attempt=attempt["prx_attempt"],
        failure_mode=failure_mode,
        tried=Tried(retries, statements.as_datetime(since)),
        mail_from=mail_from,
        mime_digest=digest,
        private_part=row[-1],
        needs_smtputf8=bool(needs_smtputf8),
        dsn_parameters=dsn,
        claimed_at=now,
        lease_seconds=lease_seconds,
    )


def _ours(claim: Claim) -> OutboxQuerySet:
    return OutboxMessage.objects.filter(pk=claim.outbox_id, status=Status.SENDING, claim_token=claim.token)


def extend(claim: Claim, phase: str, *, lease_seconds: float, now: datetime) -> bool:
    """Renew the row's lease and save the attempt's phase; False when the claim is lost."""
    with transaction.atomic():
        if _ours(claim).update(lease_expires_at=now + timedelta(seconds=lease_seconds), updated_at=now) != 1:
            return False
        DeliveryAttempt.objects.filter(pk=claim.attempt_id).update(phase=phase)
    return True


def commit_dot(
    claim: Claim,
    refused: Mapping[str, Reply],
    transcript: list[dict[str, str]],
    *,
    lease_seconds: float,
    now: datetime,
    no_longer_refused: Sequence[str] = (),
) -> bool:
    """Save that the end of the mail is about to be sent. False: the claim is lost, and it must not be sent.

    refused: recipient -> reply, of those refused in this attempt. no_longer_refused: recipients accepted now, after an
    earlier refusal: if the outcome remains unknown, "Mark as sent" must count them as having the mail.
    """
    at, lease = statements.instant(now), statements.instant(now + timedelta(seconds=lease_seconds))
    with statements.in_transaction():
        if statements.changed(claims_sql.DOT, [at, lease, at, claim.outbox_id, claim.token]) != 1:
            return False
        statements.changed(claims_sql.DOT_OF_ATTEMPT, [at, json.dumps(transcript), claim.attempt_id])
        write_refused(claim.outbox_id, refused)
        if no_longer_refused:
            OutboxRecipient.objects.filter(outbox_id=claim.outbox_id, address__in=no_longer_refused).update(
                status=OutboxRecipient.Status.WAITING, reply_code=None, reply=""
            )
    return True


def withdraw_dot(claim: Claim, phase: str, *, lease_seconds: float, now: datetime) -> bool:
    """Undo commit_dot(), since the server cannot have taken the mail. False when the claim is lost."""
    lease = statements.instant(now + timedelta(seconds=lease_seconds))
    with statements.in_transaction():
        if statements.changed(claims_sql.NO_DOT, [lease, statements.instant(now), claim.outbox_id, claim.token]) != 1:
            return False
        DeliveryAttempt.objects.filter(pk=claim.attempt_id).update(phase=phase, data_at=None)
    return True


def write_refused(pk: int, refused: Mapping[str, Reply]) -> None:
    """Save the replies to refused recipients, by addr-spec. Part of the caller's transaction."""
    for address, reply in refused.items():
        statements.changed(claims_sql.REFUSED, [reply.code, reply.text, pk, address])


def release(claim: Claim, reply: str, *, now: datetime) -> bool:
    """Return the row to its former state: nothing was sent, through no fault of the mail or the server."""
    with transaction.atomic():
        freed = _ours(claim).update(status=F("former_status"), data_at=None, updated_at=now, **UNCLAIMED)
        DeliveryAttempt.objects.filter(pk=claim.attempt_id, outcome="").update(
            outcome=Verdict.ABANDONED, reply=reply, finished_at=now, data_at=None
        )
    return freed == 1


def unclaim(begun: Sequence[Claim], *, now: datetime) -> int:
    """Undo claims that were not begun, as if they had not been made; return how many were still ours."""
    freed = 0
    with transaction.atomic():
        for claim in begun:
            asked: dict[str, Any] = {"requested_by_id": claim.requested_by_id, "failure_mode": claim.failure_mode}
            asked |= {"status": F("former_status"), "last_attempt": F("last_attempt") - 1}
            if _ours(claim).update(updated_at=now, **asked, **UNCLAIMED):
                DeliveryAttempt.objects.filter(pk=claim.attempt_id).delete()
                freed += 1
    return freed
