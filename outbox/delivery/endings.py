"""Saves the outcome of an attempt: once, by the worker that holds the claim, or whose lost lease left it uncertain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mailbox.db import statements
from mailbox.models import Counter
from outbox.delivery import claims, claims_sql
from outbox.delivery.claims import Claim
from outbox.models import DeliveryAttempt, OutboxMessage
from outbox.models.messages import OutboxQuerySet
from outbox.retry.faults import Verdict
from outbox.retry.policy import Settlement
from outbox.smtp.replies import Reply

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold


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


@dataclass(frozen=True, slots=True)
class Prepared:
    """The parameters of the statements that save an outcome, made before the transaction to keep it short."""

    row: tuple[Any, ...]
    attempt: tuple[Any, ...]
    accepted: tuple[str, tuple[Any, ...]] | None  # a statement and its parameters
    counted: tuple[tuple[Any, ...], ...]


def prepare(claim: Claim, ending: AttemptOutcome, now: datetime) -> Prepared:
    """The values that finalize() writes for this outcome; called before the transaction, to keep it short."""
    settled, at = ending.settlement, statements.instant(now)
    is_sent = settled.status == Status.SENT
    error = "" if is_sent else ending.reply
    values = (
        settled.status,
        settled.hold,
        settled.retries,
        statements.instant(settled.next_attempt_at),
        settled.error_code,
    )
    sent = (error, at, at if is_sent else None, claim.message_id if is_sent else None)
    transcript = json.dumps(list(ending.transcript))
    attempt = (settled.verdict.value, ending.phase, ending.reply_code, ending.reply, transcript, at, claim.attempt_id)
    accepted = None
    if ending.accepted:
        taken = (ending.reply_code, ending.reply, at, claim.outbox_id, *ending.accepted)
        accepted = (claims_sql.accepted(len(ending.accepted)), taken)
    return Prepared(
        (*values, *sent, settled.hold == Hold.UNCERTAIN, claim.outbox_id, claim.token),
        attempt,
        accepted,
        tuple(_counted(claim, settled, now)),
    )


def _counted(claim: Claim, settled: Settlement, now: datetime) -> Iterator[tuple[Any, ...]]:
    is_accepted = settled.verdict in (Verdict.ACCEPTED, Verdict.PARTIAL)
    names = [Counter.Name.RETRIES] if claim.number > 1 else []
    names += [Counter.Name.SENDS] if is_accepted else []
    names += [Counter.Name.SEND_FAILURES] if settled.status != Status.SENT else []
    hour = statements.instant(now.replace(minute=0, second=0, microsecond=0))
    return ((claim.account_id, name.value, hour) for name in names)


def finalize(claim: Claim, ending: AttemptOutcome, *, now: datetime, prepared: Prepared | None = None) -> bool:
    """Save the outcome if the claim is still ours, or if the row is uncertain because of this attempt.

    False when neither is so, since another attempt or a person has decided: then only the attempt's row is saved.
    """
    ready = prepared or prepare(claim, ending, now)
    with statements.in_transaction():
        written = statements.changed(claims_sql.FINALIZE, ready.row) == 1 or _finalize_uncertain(claim, ending, now)
        statements.changed(claims_sql.FINISH_ATTEMPT, ready.attempt)
        if written:
            claims.write_refused(claim.outbox_id, ending.refused)
            if ready.accepted:
                statements.changed(*ready.accepted)
            for counted in ready.counted:
                if not statements.changed(claims_sql.COUNT_MORE, counted):
                    statements.changed(claims_sql.COUNT, counted)
    return written


def _finalize_uncertain(claim: Claim, ending: AttemptOutcome, now: datetime) -> bool:
    """Settle a row that became uncertain when our lease expired while we waited for the answer."""
    # Only an attempt that committed "dot" leaves an uncertain row. Nobody else writes our attempt's `data_at`, so this
    # read is not out of date in any snapshot.
    if not DeliveryAttempt.objects.filter(pk=claim.attempt_id, data_at__isnull=False).exists():
        return False
    settled = ending.settlement
    changes = {
        "status": settled.status,
        "hold": settled.hold,
        "retries": settled.retries,
        "next_attempt_at": settled.next_attempt_at,
        "error_code": settled.error_code,
        "error": "" if settled.status == Status.SENT else ending.reply,
        "updated_at": now,
    }
    if settled.status == Status.SENT:
        changes |= {"sent_at": now, "provider_message_id": claim.message_id}
    if settled.hold != Hold.UNCERTAIN:
        changes |= {"data_at": None}
    return bool(_our_question(claim).update(**changes))


def _our_question(claim: Claim) -> OutboxQuerySet:
    """The row if it is uncertain because of this attempt. The condition is on its own columns: see `last_attempt`."""
    return OutboxMessage.objects.filter(
        pk=claim.outbox_id, status=Status.FAILED, hold=Hold.UNCERTAIN, last_attempt=claim.number
    )
