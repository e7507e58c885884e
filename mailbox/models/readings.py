"""Readings of stored mail that come after its own: as a delivery report."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.models.accounts import Account
from mailbox.models.messages import Message

MAX_ATTEMPTS = 2  # begun and not ended: what stops its reader twice is passed over
STALE_AFTER = timedelta(minutes=10)  # far above what a parser may take: whoever began has died
STOPPED_ITS_READER = "Each time it was read, the worker stopped before it was done."


class LaterReadingQuerySet(models.QuerySet["LaterReading"]):
    def failed(self) -> LaterReadingQuerySet:
        return self.exclude(error="")

    def left(self, now: datetime) -> LaterReadingQuerySet:
        """Begun by somebody who has died since."""
        return self.filter(finished_at=None, begun_at__lte=now - STALE_AFTER)

    def ask_again(self, now: datetime) -> int:
        """Have the sweep read these once more, as if they had never been tried; returns how many they are."""
        return self.failed().update(attempts=0, begun_at=now - STALE_AFTER, finished_at=None, error="")

    def begin(self, message: Message, purpose: str, now: datetime) -> bool:
        """Note that the message is about to be read; False when it was read, is being read, or is passed over.

        Call it outside of a transaction: the note must be there when the reader dies.
        """
        _, is_new = self.get_or_create(
            message=message, purpose=purpose, defaults={"account_id": message.account_id, "begun_at": now}
        )
        if is_new:
            return True
        mine = self.filter(message=message, purpose=purpose).left(now)
        if mine.filter(attempts__lt=MAX_ATTEMPTS).update(attempts=F("attempts") + 1, begun_at=now):
            return True
        mine.update(finished_at=now, error=STOPPED_ITS_READER)
        return False


class LaterReading(models.Model):
    """One such reading. Noted before it begins, so that no message stops a sweep for good."""

    class Purpose(models.TextChoices):
        REPORT = "report", _("delivery report")

    message = models.ForeignKey(Message, models.CASCADE, related_name="+")
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    purpose = models.CharField(max_length=20, choices=Purpose)
    attempts = models.PositiveSmallIntegerField(default=1)
    begun_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)  # why it could not be read; kept until somebody asks for another reading

    objects = LaterReadingQuerySet.as_manager()

    class Meta:
        db_table = "later_readings"
        constraints = [models.UniqueConstraint(fields=["message", "purpose"], name="later_reading_once")]
        indexes = [
            models.Index(fields=["begun_at"], name="later_reading_open", condition=Q(finished_at=None)),
            models.Index(fields=["account"], name="later_reading_failed", condition=~Q(error="")),
        ]

    def __str__(self) -> str:
        return f"message {self.message_id} as {self.get_purpose_display()}"
