"""Later readings: stored messages that are parsed once more for another purpose, as delivery reports."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.clocks import is_stale
from mailbox.models.accounts import Account
from mailbox.models.messages import Message

MAX_ATTEMPTS = 2  # begun without an end, after which the message is skipped
STALE_AFTER = timedelta(minutes=10)  # far above a parser's limit: its worker must have died
STOPPED_ITS_READER = "Each time it was read, the worker stopped before it was done."


class LaterReadingQuerySet(models.QuerySet["LaterReading"]):
    """States of later readings, as conditions of a query, and the changes between them."""

    def failed(self) -> LaterReadingQuerySet:
        """Readings that ended with an error; a person can have them tried again."""
        return self.exclude(error="")

    def left(self, now: datetime) -> LaterReadingQuerySet:
        """Readings whose worker must have died."""
        return self.filter(is_stale("begun_at", STALE_AFTER, now), finished_at=None)

    def ask_again(self, now: datetime) -> int:
        """Reset failed readings, so that the sweep tries them again. Returns how many."""
        return self.failed().update(attempts=0, begun_at=now - STALE_AFTER, finished_at=None, error="")

    def begin(self, message: Message, purpose: str, now: datetime) -> bool:
        """Record that the message is about to be read. Returns False if it was read, is being read, or is skipped.

        Call it outside of a transaction, as the record must exist if the worker dies.
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
    """One later reading. Recorded before it begins, so that a message that kills its worker cannot stop the sweep for
    ever."""

    class Purpose(models.TextChoices):
        REPORT = "report", _("delivery report")

    message = models.ForeignKey(Message, models.CASCADE, related_name="+")
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    purpose = models.CharField(max_length=20, choices=Purpose)
    attempts = models.PositiveSmallIntegerField(default=1)
    begun_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)  # why it failed; kept until a person asks for another try

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
