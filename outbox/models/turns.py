"""Coordination of senders: whether a delivery task is queued, and when an account may send its next mail."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q

from mailbox.db import statements
from mailbox.models import Account


class DeliveryCall(models.Model):
    """Whether a delivery task is queued already: a thousand new mails need one task, not a thousand."""

    called_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "delivery_calls"

    def __str__(self) -> str:
        return f"called at {self.called_at}"

    @classmethod
    def make(cls, now: datetime, *, forget_after: float) -> bool:
        """Note that a delivery task is wanted; returns True to the one caller that must queue it.

        forget_after: a task that has not begun after so many seconds is taken for lost.

        The row is read before it is written, so that callers do not wait for SQLite's only writer while a call is
        open. That is safe: a caller has committed its outbox row before, and the task looks for rows after answer().
        """
        old, ahead = now - timedelta(seconds=forget_after), now + timedelta(seconds=forget_after)
        found = statements.rows('SELECT "called_at" FROM "delivery_calls" WHERE "id" = 1', [])
        if found:
            ((at,),) = found
            if at is not None and old < statements.as_datetime(at) <= ahead:
                return False
            unanswered = Q(called_at=None) | Q(called_at__lte=old) | Q(called_at__gt=ahead)
            return bool(cls.objects.filter(unanswered, pk=1).update(called_at=now))
        DeliveryCall.objects.bulk_create([DeliveryCall(pk=1, called_at=now)], ignore_conflicts=True)
        return True

    @classmethod
    def answer(cls) -> None:
        """A delivery task begins and will look for due rows after this; later callers need another task."""
        cls.objects.filter(pk=1, called_at__isnull=False).update(called_at=None)


class SendPace(models.Model):
    """The time of the next mail of an account with a rate limit; saved when each mail's "dot" is committed."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="send_pace")
    next_at = models.DateTimeField()

    class Meta:
        db_table = "send_paces"
        verbose_name = "pace of an account"
        verbose_name_plural = "paces of accounts"

    def __str__(self) -> str:
        return f"account {self.account_id} not before {self.next_at}"
