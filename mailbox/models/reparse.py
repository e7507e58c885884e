"""A round of reading stored mail again, when the parser has learned something."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from mailbox.models.accounts import Account


class ReparseQuerySet(models.QuerySet["Reparse"]):
    def unfinished(self) -> ReparseQuerySet:
        return self.filter(finished_at=None)


class Reparse(models.Model):
    """One round and how far it has come. A batch moves `after_pk` on, if it still stands where the batch began."""

    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")  # None: of all
    everything = models.BooleanField(default=False)  # also what was read by the present parser
    requested_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField(default=timezone.now)
    moved_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    after_pk = models.BigIntegerField(default=0)  # messages up to this one are done
    total = models.PositiveBigIntegerField(default=0)  # that waited when it began
    done = models.PositiveBigIntegerField(default=0)
    changed = models.PositiveBigIntegerField(default=0)  # of which other values came
    changed_fields = models.JSONField(default=dict, db_default={}, blank=True)  # column of messages -> how many differ
    lost = models.PositiveBigIntegerField(default=0)  # whose raw bytes are missing: they stay as they are
    failed = models.PositiveBigIntegerField(default=0)

    objects = ReparseQuerySet.as_manager()

    class Meta:
        db_table = "reparses"
        verbose_name = "reading of stored mail"
        verbose_name_plural = "readings of stored mail"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"reading {self.pk} of stored mail"
