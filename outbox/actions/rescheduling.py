"""Changes the send time of a mail, or takes it back within its undo window."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext

from outbox.actions.transitions import CHANGED_MEANWHILE, find_row, record
from outbox.compose import date_header
from outbox.compose.send_time import checked_send_at
from outbox.errors import ValidationFailed
from outbox.models import OutboxMessage

Status = OutboxMessage.Status


def reschedule(outbox_id: int, send_at: datetime | None, *, user: User | None, now: datetime) -> OutboxMessage:
    """Give a mail without attempts another send time, None for now; returns the row. Raises OutboxError."""
    row, send_at = find_row(outbox_id), checked_send_at(send_at, now)
    if row.status != Status.PENDING or row.attempts.exists():
        raise ValidationFailed(gettext("Only a mail that was not tried yet has a time to change."))
    digest = date_header.redated(row, send_at or now)
    with transaction.atomic():
        if digest != row.mime_digest:
            date_header.reference(digest, now)
        due = max(send_at or now, row.undo_until or now)
        same = OutboxMessage.objects.filter(pk=row.pk, status=Status.PENDING, mime_digest=row.mime_digest)
        if same.update(send_at=send_at or now, next_attempt_at=due, mime_digest=digest, updated_at=now) != 1:
            raise ValidationFailed(CHANGED_MEANWHILE)
        record(row, "reschedule", user, now, f"to {send_at:%Y-%m-%d %H:%M %Z}" if send_at else "to now")
    row.refresh_from_db()
    return row


def undo(outbox_id: int, *, user: User | None, now: datetime) -> OutboxMessage:
    """Cancel a mail within its undo window; returns the row. Raises ValidationFailed if it is too late."""
    row = find_row(outbox_id)
    with transaction.atomic():
        held_back = OutboxMessage.objects.filter(pk=row.pk, status=Status.PENDING, undo_until__gt=now, hold="")
        if held_back.update(status=Status.CANCELLED, updated_at=now) != 1:
            row.refresh_from_db()
            if row.status == Status.PENDING:
                raise ValidationFailed(gettext("It is too late to undo: the time to undo is over."))
            words = gettext("It is too late to undo: the mail is %(state)s.")
            raise ValidationFailed(words % {"state": row.get_status_display()})
        record(row, "undo", user, now)
    row.refresh_from_db()
    return row
