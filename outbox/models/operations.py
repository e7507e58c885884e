"""Bulk actions: one action on all rows that match a filter, done by workers in slices."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class OperationQuerySet(models.QuerySet["Operation"]):
    """Operations by their state."""

    def unfinished(self) -> OperationQuerySet:
        """Operations with rows left to do, also those whose worker has died."""
        return self.filter(finished_at=None)


class Operation(models.Model):
    """A bulk action that a person confirmed, and its progress.

    `after_pk` moves in the transaction that changes the row, so each row is done and counted once, even if a worker is
    killed or two run at a time.
    """

    class Verb(models.TextChoices):
        RETRY = "retry", _("Retry")
        SEND_NOW = "send_now", _("Send now")
        CANCEL = "cancel", _("Cancel")
        MARK = "mark_as_sent", _("Mark as sent")
        SEND_AGAIN = "send_again", _("Send again")

    key = models.UUIDField(default=uuid.uuid4, unique=True)  # made with the page: a form sent twice is one operation
    user = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    verb = models.CharField(max_length=12, choices=Verb)
    query = models.TextField(blank=True)  # the filters, as in the address of the list
    asked_at = models.DateTimeField(default=timezone.now)  # ages in the filters count back from here
    upto_pk = models.BigIntegerField()  # rows with a higher pk were written later and are left out
    after_pk = models.BigIntegerField(default=0)  # rows up to this pk are done or skipped
    total = models.PositiveBigIntegerField(default=0)  # rows that matched when the person was asked
    done = models.PositiveBigIntegerField(default=0)
    # How many rows the page said would be changed; never more are, even if others match since.
    expected = models.PositiveBigIntegerField(default=0, db_default=0)
    # Pks of rows that were being sent at `asked_at`: they are skipped.
    in_flight = models.JSONField(default=list, db_default=[], blank=True)
    skipped = models.JSONField(default=dict, blank=True)  # reason -> how many
    moved_at = models.DateTimeField(default=timezone.now)
    stopped_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, blank=True, related_name="+")
    stopped_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        db_table = "outbox_operations"
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["moved_at"], name="operation_unfinished", condition=models.Q(finished_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.get_verb_display()}: {self.total} rows"


class OperationRow(models.Model):
    """A mail that an operation handed to the workers; the operation's page shows the outcome of `attempt`."""

    operation = models.ForeignKey(Operation, models.CASCADE, related_name="rows")
    outbox = models.ForeignKey("outbox.OutboxMessage", models.CASCADE, related_name="+")
    attempt = models.PositiveIntegerField()  # the number of the attempt that was asked for

    class Meta:
        db_table = "outbox_operation_rows"

    def __str__(self) -> str:
        return f"attempt {self.attempt} of outbox {self.outbox_id}"
