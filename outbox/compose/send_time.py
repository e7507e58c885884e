"""The time from which a new mail may be sent: now, a time its writer chose, or the end of its undo window. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext

from outbox.errors import ValidationFailed

FARTHEST = timedelta(days=366)


@dataclass(frozen=True)
class SendTimes:
    """`next_attempt_at`: the time from which a worker may claim the row; the other two say why it waits."""

    next_attempt_at: datetime
    send_at: datetime | None = None
    undo_until: datetime | None = None


def send_times(send_at: datetime | None, undo_seconds: int, now: datetime) -> SendTimes:
    """The times of a new row: it waits for the later of `send_at` and the end of its undo window.

    `undo_seconds`: length of the undo window, 0 for none (the setting PRX_EMAIL_OUTBOX_UNDO_SECONDS for a mail
    written in the browser). Raises ValidationFailed, see checked_send_at().
    """
    send_at = checked_send_at(send_at, now)
    undo_until = now + timedelta(seconds=undo_seconds) if undo_seconds > 0 else None
    return SendTimes(max(send_at or now, undo_until or now), send_at, undo_until)


def checked_send_at(send_at: datetime | None, now: datetime) -> datetime | None:
    """The chosen time, or None if it is not in the future. Raises ValidationFailed if naive or over a year ahead."""
    if send_at is None:
        return None
    if timezone.is_naive(send_at):
        raise ValidationFailed(gettext("Give the time to send at with its time zone."))
    if send_at > now + FARTHEST:
        raise ValidationFailed(gettext("The time to send at is more than a year away: choose an earlier one."))
    return send_at if send_at > now else None
