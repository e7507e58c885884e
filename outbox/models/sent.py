"""Work in the account's Sent folder after an attempt: look-ups of uncertain mail, and copies of sent mail."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from mailbox.db.literals import Literal
from outbox.models.attempts import DeliveryAttempt
from outbox.models.messages import OutboxMessage, OutboxRecipient


class SentLookupQuerySet(models.QuerySet["SentLookup"]):
    """Looks into Sent by their state."""

    def open(self) -> SentLookupQuerySet:
        """Look-ups whose mail is still uncertain."""
        return self.filter(attempt__outbox__status="failed", attempt__outbox__hold="uncertain")

    def due(self, now: datetime) -> SentLookupQuerySet:
        """Open look-ups whose time has come and that no worker has a valid claim on."""
        free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=now)
        return self.open().filter(free, next_look_at__lte=now)


class SentLookup(models.Model):
    """The search for an uncertain attempt's mail in Sent and All Mail: a few looks; then only a person can decide."""

    attempt = models.OneToOneField(DeliveryAttempt, models.CASCADE, related_name="sent_lookup")
    uncertain_at = models.DateTimeField()
    next_look_at = models.DateTimeField(null=True)  # None: no look is to come
    last_look_at = models.DateTimeField(null=True)
    last_words = models.TextField(blank=True)  # the result of the last look, as an English sentence
    found_in = models.CharField(max_length=500, blank=True)  # the folder
    claim_token = models.CharField(max_length=32, blank=True)
    lease_expires_at = models.DateTimeField(null=True)

    objects = SentLookupQuerySet.as_manager()

    class Meta:
        db_table = "sent_lookups"
        verbose_name = "look into Sent"
        verbose_name_plural = "looks into Sent"
        indexes = [
            models.Index(fields=["next_look_at"], name="sent_lookup_due", condition=Q(next_look_at__isnull=False))
        ]

    def __str__(self) -> str:
        return f"look-up of {self.attempt}"


class SentCopyQuerySet(models.QuerySet["SentCopy"]):
    """Copies by their state, and by the account of their mail.

    Few copies wait, among all mail that was ever sent. So each question begins at `sent_copy_waiting`, the index of
    those that do: the state is a literal, and what is asked of the mail is such that no index over the outbox serves.
    """

    def waiting(self) -> SentCopyQuerySet:
        """Copies that are still to be made, also of mail that was not sent yet."""
        return self.filter(state=Literal(SentCopy.State.WAITING))

    def whose(self, accounts: Collection[int] | models.QuerySet[Any, Any]) -> SentCopyQuerySet:
        """The copies of these accounts' mail; `whose` is the account's pk."""
        return self.alias(whose=F("outbox__account_id") + 0).filter(whose__in=accounts)

    def of_cancelled(self) -> SentCopyQuerySet:
        """Waiting copies of cancelled mail that no recipient got."""
        cancelled = OutboxMessage.objects.filter(pk=OuterRef("outbox"), status=OutboxMessage.Status.CANCELLED)
        return self.waiting().filter(Exists(cancelled), ~_is_accepted())

    def due(self, now: datetime) -> SentCopyQuerySet:
        """Waiting copies whose time has come and that no worker is making, of mail accepted for some recipient."""
        free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=now)
        waiting = self.waiting().filter(free, next_try_at__lte=now)
        return waiting.filter(~Q(outbox__status="sending"), _is_accepted())


def _is_accepted() -> Exists:
    """Whether the server has accepted the mail for some recipient."""
    return Exists(OutboxRecipient.objects.filter(outbox=OuterRef("outbox"), status="accepted"))


class SentCopy(models.Model):
    """The copy of one mail in the account's Sent folder. The row is created with the mail, the copy after sending."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DONE = "done", _("in Sent")
        FAILED = "failed", _("failed")  # for good: only a person tries again
        UNWANTED = "unwanted", _("not wanted any more")

    outbox = models.OneToOneField(OutboxMessage, models.CASCADE, related_name="sent_copy")
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    folder = models.CharField(max_length=500, blank=True)
    error = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True)
    claim_token = models.CharField(max_length=32, blank=True)
    lease_expires_at = models.DateTimeField(null=True)

    objects = SentCopyQuerySet.as_manager()

    class Meta:
        db_table = "sent_copies"
        verbose_name = _("copy in Sent")
        verbose_name_plural = _("copies in Sent")
        indexes = [models.Index(fields=["next_try_at"], name="sent_copy_waiting", condition=Q(state="waiting"))]

    def __str__(self) -> str:
        return f"Sent copy of outbox {self.outbox_id}"
