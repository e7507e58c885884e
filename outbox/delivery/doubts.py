"""Makes a mail uncertain whose outcome was saved, when a further reply came that may have been its answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.utils.translation import gettext_noop

from mailbox.db import statements
from outbox.delivery.claims import Claim
from outbox.errors import ErrorCode
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient, SentCopy, SentLookup
from outbox.retry.faults import Verdict

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold
NO_PROOF = gettext_noop("A copy of our own may lie in Sent, so finding the mail there would prove nothing.")


def make_uncertain(claim: Claim, accepted: Sequence[str], words: str, *, now: datetime) -> bool:
    """Set the hold `uncertain` on the mail of this attempt, which had counted as sent to `accepted`, or as refused.

    False when another attempt has begun, a person has decided, or the mail is uncertain already.
    """
    row = OutboxMessage.objects.filter(
        pk=claim.outbox_id, last_attempt=claim.number, status__in=(Status.SENT, Status.FAILED)
    )
    question = {
        "status": Status.FAILED,
        "hold": Hold.UNCERTAIN,
        "retries": claim.tried.retries,
        "next_attempt_at": now,
        "error_code": ErrorCode.PROVIDER,
        "error": words,
        "sent_at": None,
        "provider_message_id": None,
        "data_at": now,
        "updated_at": now,
    }
    with statements.in_transaction():
        if row.exclude(hold=Hold.UNCERTAIN).update(**question) != 1:
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
