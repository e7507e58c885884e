"""Whose turn it is to send: whether a worker was called, and when an account may send again."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q

from mailbox.models import Account


class DeliveryCall(models.Model):
    """Whether a task that starts a courier is queued already: a thousand new mails need one, not a thousand."""

    called_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "delivery_calls"

    def __str__(self) -> str:
        return f"called at {self.called_at}"

    @classmethod
    def make(cls, now: datetime, *, forget_after: float) -> bool:
        """Say that a courier is wanted; True for the one caller who has to queue its task. A task that has not come
        for `forget_after` seconds is taken for lost.

        Read first: while a call stands, none of the many mails behind it waits for SQLite's one writer. Whoever reads
        that it stands has committed its row already, and the courier looks for rows after it has answered."""
        old, ahead = now - timedelta(seconds=forget_after), now + timedelta(seconds=forget_after)
        row = cls.objects.filter(pk=1).values_list("called_at").order_by("pk").first()
        if row is not None:
            (at,) = row
            if at is not None and old < at <= ahead:
                return False
            unanswered = Q(called_at=None) | Q(called_at__lte=old) | Q(called_at__gt=ahead)
            return bool(cls.objects.filter(unanswered, pk=1).update(called_at=now))
        DeliveryCall.objects.bulk_create([DeliveryCall(pk=1, called_at=now)], ignore_conflicts=True)
        return True

    @classmethod
    def answer(cls) -> None:
        """A courier begins, and looks for due rows after this: whoever calls from now on is not heard by it."""
        cls.objects.filter(pk=1, called_at__isnull=False).update(called_at=None)


class SendPace(models.Model):
    """When an account with a rate limit may send its next mail; written with each mail's "dot"."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="send_pace")
    next_at = models.DateTimeField()

    class Meta:
        db_table = "send_paces"
        verbose_name = "pace of an account"
        verbose_name_plural = "paces of accounts"

    def __str__(self) -> str:
        return f"account {self.account_id} not before {self.next_at}"
