"""Whose turn it is to send: which processes deliver, whether one was called, and when an account may send again."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q

from mailbox.models import Account


class CourierSlot(models.Model):
    """The right of one process to be a courier, for a while; there are as many slots as couriers are wanted."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    token = models.CharField(max_length=32)
    holder = models.CharField(max_length=200)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "courier_slots"

    def __str__(self) -> str:
        return f"courier {self.number}: {self.holder}"

    @classmethod
    def acquire(cls, slots: int, holder: str, *, seconds: float, now: datetime) -> CourierSlot | None:
        """The first slot that was free or had lapsed, else None. One conditional UPDATE decides."""
        token, expires_at = secrets.token_hex(16), now + timedelta(seconds=seconds)
        for number in range(slots):
            row = CourierSlot(number=number, token=token, holder=holder, expires_at=expires_at)
            lapsed = cls.objects.filter(number=number, expires_at__lte=now)
            if lapsed.update(token=token, holder=holder, expires_at=expires_at):
                return row
            CourierSlot.objects.bulk_create([row], ignore_conflicts=True)  # loses silently to a row that is there
            if row.is_held():
                return row
        return None

    @property
    def is_first(self) -> bool:
        return self.number == 0

    def is_held(self) -> bool:
        """Whether it is still the slot of whom it was given to."""
        return CourierSlot.objects.filter(number=self.number, token=self.token).exists()

    def renew(self, *, seconds: float, now: datetime) -> bool:
        return CourierSlot.objects.filter(token=self.token).update(expires_at=now + timedelta(seconds=seconds)) == 1

    def release(self) -> None:
        CourierSlot.objects.filter(token=self.token).delete()


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
