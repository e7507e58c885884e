"""The time that a person chose for a mail to go out: what may be meant, as a pure function."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext

from outbox.errors import ValidationFailed

FARTHEST = timedelta(days=366)


def checked_send_at(send_at: datetime | None, now: datetime) -> datetime | None:
    """The time, None when it is now or past; raises ValidationFailed for what nobody can mean."""
    if send_at is None:
        return None
    if timezone.is_naive(send_at):
        raise ValidationFailed(gettext("Give the time to send at with its time zone."))
    if send_at > now + FARTHEST:
        raise ValidationFailed(gettext("The time to send at is more than a year away: choose an earlier one."))
    return send_at if send_at > now else None
