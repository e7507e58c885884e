"""Saves the outcome of an attempt: once, by the worker that holds the claim, or whose lost lease left it uncertain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mailbox.db import statements
from mailbox.models import Counter
from outbox.delivery import claims, claims_sql
from outbox.delivery.claims import Claim
from outbox.models import OutboxMessage
from outbox.retry.faults import Verdict
from outbox.retry.policy import Settlement
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


def finalize(claim: Claim, ending: AttemptOutcome, *, now: datetime) -> bool:
    """Save the outcome if the claim is still ours, or if the row is uncertain because of this attempt: our lease
    expired then while we waited for the answer.

    False when neither is so, since another attempt or a person has decided: then only the attempt's row is saved.
    """
    settled, at, is_sent = ending.settlement, statements.instant(now), ending.is_sent
    state = (
        *(settled.status, settled.hold, settled.retries, statements.instant(settled.next_attempt_at)),
        *(settled.error_code, "" if is_sent else ending.reply, at),
        *((at, claim.message_id) if is_sent else (None, None)),
        settled.hold == OutboxMessage.Hold.UNCERTAIN,
        claim.outbox_id,
    )
    reply, transcript = (ending.reply_code, ending.reply), json.dumps(list(ending.transcript))
    with statements.in_transaction():
        written = statements.changed(claims_sql.FINALIZE, (*state, claim.token)) == 1 or bool(
            statements.changed(claims_sql.FINALIZE_UNCERTAIN, (*state, claim.number, claim.attempt_id))
        )
        attempt = (settled.verdict.value, ending.phase, *reply, transcript, at, claim.attempt_id)
        statements.changed(claims_sql.FINISH_ATTEMPT, attempt)
        if written:
            claims.write_refused(claim.outbox_id, ending.refused)
            if ending.accepted:
                taken = (*reply, at, claim.outbox_id, *ending.accepted)
                statements.changed(claims_sql.accepted(len(ending.accepted)), taken)
            _count(claim, settled, now)
    return written


def _count(claim: Claim, settled: Settlement, now: datetime) -> None:
    is_accepted = settled.verdict in (Verdict.ACCEPTED, Verdict.PARTIAL)
    names = [Counter.Name.RETRIES] if claim.number > 1 else []
    names += [Counter.Name.SENDS] if is_accepted else []
    names += [Counter.Name.SEND_FAILURES] if settled.status != OutboxMessage.Status.SENT else []
    hour = statements.instant(now.replace(minute=0, second=0, microsecond=0))
    for name in names:
        counted = (claim.account_id, name.value, hour)
        if not statements.changed(claims_sql.COUNT_MORE, counted):
            statements.changed(claims_sql.COUNT, counted)
