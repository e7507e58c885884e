"""The steps of a claim in the database: claim, extend, commit_dot, withdraw_dot, release.

Outcomes are saved by finalization; expired claims are settled by recovery.

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
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F

from mailbox.db import statements
from mailbox.db.own_connection import own_connection
from outbox.delivery import claims_sql
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient
from outbox.models.messages import OutboxQuerySet
from outbox.retry.faults import Verdict
from outbox.retry.policy import Tried
from outbox.smtp.replies import Reply

TRANSCRIPT_ROOM = 700  # bytes
UNCLAIMED = {"claim_token": "", "claimed_by": "", "lease_expires_at": None}


class Claim(NamedTuple):
    """A row that this worker has claimed until its lease expires, with the attempt to be made.

    The fields up to `since` are the columns of claims_sql.NEEDED.
    """

    outbox_id: int
    account_id: int
    token: str
    number: int  # of the attempt; 1 for the first
    due_at: Any  # in the backend's form
    retries: int
    requested_by_id: int | None
    failure_mode: str
    mail_from: str
    mime_digest: str
    needs_smtputf8: bool
    dsn_parameters: str  # "" of nearly all
    private_part: str  # "" for nearly all rows
    message_id: str
    since: datetime
    claimed_at: datetime
    lease_seconds: float
    prx_attempt: str
    attempt_id: int

    @property
    def tried(self) -> Tried:
        """What the decision about the next attempt needs of the row."""
        return Tried(self.retries, self.since)


def worker_name() -> str:
    """ "host/pid" of this process, as leases, claims and attempts name their worker."""
    return f"{socket.gethostname()}/{os.getpid()}"


def claim_next(account_id: int, worker: str, *, lease_seconds: float, now: datetime) -> Claim | None:
    """Claim the account's row that has been due longest; None when there is none. Rows with a hold are not claimed."""
    return next(iter(claim_some(account_id, worker, most=1, lease_seconds=lease_seconds, now=now)), None)


def claim_some(account_id: int, worker: str, *, most: int, lease_seconds: float, now: datetime) -> list[Claim]:
    """Claim at most `most` rows of the account, those that have been due longest, in that order."""
    skips = own_connection().features.has_select_for_update_skip_locked
    sql = claims_sql.CLAIM_NEXT_UNLOCKED if skips else claims_sql.CLAIM_NEXT
    return _claim(sql, (account_id, statements.instant(now), most), worker, lease_seconds, now)


def claim_row(pk: int, worker: str, *, lease_seconds: float, now: datetime) -> Claim | None:
    """Claim this row if it is due, and save its attempt in the same transaction; None when it is not, or is claimed."""
    return next(iter(_claim(claims_sql.CLAIM_ONE, (pk,), worker, lease_seconds, now)), None)


def _claim(sql: str, which: tuple[Any, ...], worker: str, lease_seconds: float, now: datetime) -> list[Claim]:
    lease, at = now + timedelta(seconds=lease_seconds), statements.instant(now)
    token = secrets.token_hex(8) + "-"  # the row's id follows
    stamp = secrets.token_hex(4)  # common prefix of the marks, so that they are neighbours in the index
    claimed = []
    with statements.in_transaction():
        for *row, since in statements.rows(sql, [token, worker, statements.instant(lease), at, *which, at]):
            mark = stamp + secrets.token_hex(12)
            claim = Claim._make([*row, statements.as_datetime(since), now, lease_seconds, mark, 0])
            named = claim.message_id or f"<outbox-{claim.outbox_id}-{claim.retries}@{settings.MESSAGE_ID_DOMAIN}>"
            claimed.append(claim._replace(message_id=named))
        claimed.sort(key=lambda claim: (claim.due_at, claim.outbox_id))
        return _begin_attempts(claimed, worker) if claimed else []


def _begin_attempts(claimed: Sequence[Claim], worker: str) -> list[Claim]:
    names = ("outbox_id", "number", "requested_by_id", "failure_mode", "message_id", "prx_attempt")
    others = {
        "worker": worker,
        # Empty; for SQLite padded, since a row that grows later splits its page, which writes four pages.
        "transcript": f"[{' ' * TRANSCRIPT_ROOM}]" if own_connection().vendor == "sqlite" else "[]",
        "started_at": statements.instant(claimed[0].claimed_at),
    }
    attempts = [
        {name: getattr(claim, name) for name in names} | {"claim_token": claim.token} | others for claim in claimed
    ]
    pks = statements.insert(DeliveryAttempt, "outbox_id", attempts)
    asked = [claim.outbox_id for claim in claimed if claim.requested_by_id or claim.failure_mode]
    if asked:  # a drill is for this one attempt only
        OutboxMessage.objects.filter(pk__in=asked).update(requested_by=None, failure_mode="")
    return [claim._replace(attempt_id=pks[claim.outbox_id]) for claim in claimed]


def _ours(claim: Claim) -> OutboxQuerySet:
    return OutboxMessage.objects.sending().filter(pk=claim.outbox_id, claim_token=claim.token)


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
