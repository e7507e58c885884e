"""What is searched for in Sent: the headers of an attempt, or those of attempts that a restored database forgot."""

from __future__ import annotations

from django.conf import settings

from mailbox.imap.sent_search import AttemptHeaders, ForgottenAttempt, date_of
from mailbox.storage import raw_store
from outbox.models import DeliveryAttempt, OutboxRecipient
from outbox.restored_mail import UNKNOWN_MARK


def wanted(attempt: DeliveryAttempt) -> AttemptHeaders | ForgottenAttempt:
    """What proves that this attempt sent its mail."""
    if attempt.prx_attempt != UNKNOWN_MARK:
        return AttemptHeaders(attempt.message_id, attempt.prx_attempt)
    row = attempt.outbox
    # Without those that ended when this one began: they were under way when the backup was made.
    earlier = row.attempts.filter(number__lt=attempt.number).exclude(finished_at=attempt.started_at)
    try:
        date = date_of(raw_store.open_raw(row.mime_digest))
    except raw_store.RawMissing:
        date = ""
    later = None if row.message_id else (f"<outbox-{row.pk}-", f"@{settings.MESSAGE_ID_DOMAIN}>")
    return ForgottenAttempt(attempt.message_id, later, date, frozenset(earlier.values_list("prx_attempt", flat=True)))


def is_for_all(attempt: DeliveryAttempt) -> bool:
    """Whether the mail that was found went to all who lack it.

    Who was refused in an attempt is written down before its mail is sent. Of a forgotten attempt it is not known.
    """
    waiting = OutboxRecipient.objects.filter(outbox=attempt.outbox_id, status=OutboxRecipient.Status.WAITING)
    return attempt.prx_attempt != UNKNOWN_MARK or waiting.count() == 1


def note_mark(attempt: DeliveryAttempt, found: AttemptHeaders) -> None:
    """Save the headers of a forgotten attempt that was found: delivery reports name it by them."""
    if attempt.prx_attempt == UNKNOWN_MARK:
        attempt.message_id, attempt.prx_attempt = found.message_id, found.prx_attempt
        attempt.save(update_fields=["message_id", "prx_attempt"])
