"""Saves the outcome of an attempt: once, by the worker that holds the claim, or whose lost lease left it uncertain.

It also takes an outcome back, when a further reply came that may have been the answer to the mail.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop

from mailbox import logs
from mailbox.db import statements
from mailbox.models import Counter
from outbox.delivery import claims, claims_sql
from outbox.delivery.claims import Claim
from outbox.delivery.outcomes import AttemptOutcome
from outbox.errors import ErrorCode
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient, SentCopy, SentLookup
from outbox.retry.faults import Verdict
from outbox.retry.policy import Settlement

logger = logging.getLogger(__name__)
NO_PROOF = gettext_noop("A copy of our own may lie in Sent, so finding the mail there would prove nothing.")


@dataclass(frozen=True, eq=False)
class UnwrittenOutcome:
    """An outcome that is known and not saved yet."""

    claim: Claim
    outcome: AttemptOutcome
    now: datetime


def finalize(claim: Claim, outcome: AttemptOutcome, *, now: datetime) -> bool:
    """Save the outcome if the claim is still ours, or if the row is uncertain because of this attempt: our lease
    expired then while we waited for the answer.

    False when neither is so, since another attempt or a person has decided: then only the attempt's row is saved.
    """
    settled, at, state = outcome.settlement, statements.instant(now), _state(claim, outcome, now)
    reply, transcript = (outcome.reply_code, outcome.reply), json.dumps(list(outcome.transcript))
    with statements.in_transaction():
        written = statements.changed(claims_sql.FINALIZE, (*state, claim.token)) == 1 or bool(
            statements.changed(claims_sql.FINALIZE_UNCERTAIN, (*state, claim.number, claim.attempt_id))
        )
        attempt = (settled.verdict.value, outcome.phase, *reply, transcript, at, claim.attempt_id)
        statements.changed(claims_sql.FINISH_ATTEMPT, attempt)
        if written:
            claims.write_refused(claim.outbox_id, outcome.refused)
            if outcome.accepted:
                taken = (*reply, at, claim.outbox_id, *outcome.accepted)
                places = ", ".join(["%s"] * len(outcome.accepted))
                statements.changed(claims_sql.ACCEPTED.format(places=places), taken)
            _count(claim, settled, now)
    return written


def _state(claim: Claim, outcome: AttemptOutcome, now: datetime) -> tuple[Any, ...]:
    """The values of the row's new state, and its id."""
    settled, at, is_sent = outcome.settlement, statements.instant(now), outcome.is_sent
    next_at = statements.instant(settled.next_attempt_at)
    row = (settled.status, settled.hold, settled.retries, next_at, settled.error_code)
    sent = (at, claim.message_id) if is_sent else (None, None)
    is_uncertain = settled.hold == OutboxMessage.Hold.UNCERTAIN
    return (*row, "" if is_sent else outcome.reply, at, *sent, is_uncertain, at, claim.outbox_id)


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


def make_uncertain(claim: Claim, accepted: Sequence[str], words: str, *, now: datetime) -> bool:
    """Set the hold `uncertain` on the mail of this attempt, which had counted as sent to `accepted`, or as refused.

    False when another attempt has begun, a person has decided, or the mail is uncertain already.
    """
    code = ErrorCode.PROVIDER.value
    settled = Settlement("failed", "uncertain", claim.retries, now, code, Verdict.UNCERTAIN)
    state = _state(claim, AttemptOutcome(settled, words), now)
    with statements.in_transaction():
        if statements.changed(claims_sql.DOUBT, (*state, claim.number)) != 1:
            return False
        DeliveryAttempt.objects.filter(pk=claim.attempt_id).update(outcome=Verdict.UNCERTAIN, reply=words)
        taken = OutboxRecipient.objects.filter(outbox_id=claim.outbox_id, address__in=accepted)
        taken.update(status=OutboxRecipient.Status.WAITING, reply_code=None, reply="", accepted_at=None)
        _distrust_our_copy(claim, now)
    return True


def _distrust_our_copy(claim: Claim, now: datetime) -> None:
    begun = SentCopy.objects.filter(outbox_id=claim.outbox_id)
    if begun.exclude(state=SentCopy.State.WAITING, tries=0).exists():
        closed = {"uncertain_at": now, "next_look_at": None, "last_words": NO_PROOF}
        SentLookup.objects.update_or_create(attempt_id=claim.attempt_id, defaults=closed)


def log_attempt(unwritten: UnwrittenOutcome, written: bool) -> None:
    """Log one line for the attempt, without addresses or secrets. `written`: the outcome was saved on the row."""
    claim, outcome, settled = unwritten.claim, unwritten.outcome, unwritten.outcome.settlement
    level = logging.INFO if outcome.is_sent else logging.WARNING
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
        seconds=round(max((unwritten.now - claim.claimed_at).total_seconds(), 0), 3),
        outcome=settled.verdict.value,
        hold=settled.hold,
        phase=outcome.phase,
        code=outcome.reply_code,
        error_code=settled.error_code,
        reply=logs.provider_words(outcome.reply),
        written=written,
    )
