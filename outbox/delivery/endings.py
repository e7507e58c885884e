"""Saves the outcome of an attempt: once, by the worker that holds the claim, or whose lost lease left it uncertain.

It also takes an outcome back, when a further reply came that may have been the answer to the mail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop

from mailbox.db import statements
from mailbox.models import Counter
from outbox.delivery import claims, claims_sql
from outbox.delivery.claims import Claim
from outbox.errors import ErrorCode
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient, SentCopy, SentLookup
from outbox.retry.faults import Verdict
from outbox.retry.policy import Settlement
from outbox.smtp.replies import Reply

NO_PROOF = gettext_noop("A copy of our own may lie in Sent, so finding the mail there would prove nothing.")


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
    settled, at, state = ending.settlement, statements.instant(now), _state(claim, ending, now)
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
                places = ", ".join(["%s"] * len(ending.accepted))
                statements.changed(claims_sql.ACCEPTED.format(places=places), taken)
            _count(claim, settled, now)
    return written


def _state(claim: Claim, ending: AttemptOutcome, now: datetime) -> tuple[Any, ...]:
    """The values of the row's new state, and its id."""
    settled, at, is_sent = ending.settlement, statements.instant(now), ending.is_sent
    next_at = statements.instant(settled.next_attempt_at)
    row = (settled.status, settled.hold, settled.retries, next_at, settled.error_code)
    sent = (at, claim.message_id) if is_sent else (None, None)
    is_uncertain = settled.hold == OutboxMessage.Hold.UNCERTAIN
    return (*row, "" if is_sent else ending.reply, at, *sent, is_uncertain, at, claim.outbox_id)


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
