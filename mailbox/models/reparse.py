"""Rounds of parsing stored mail again, after the parser was improved."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from mailbox.models.accounts import Account


class ReparseQuerySet(models.QuerySet["Reparse"]):
    """States of rounds of parsing again, as conditions of a query."""

    def unfinished(self) -> ReparseQuerySet:
        """Rounds that go on, or whose worker died."""
        return self.filter(finished_at=None)


class Reparse(models.Model):
    """One round and its progress. A batch advances `after_pk` on condition that it has not changed meanwhile."""

    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")  # None: all accounts
    everything = models.BooleanField(default=False)  # also messages that the present parser has parsed
    requested_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField(default=timezone.now)
    moved_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    after_pk = models.BigIntegerField(default=0)  # messages up to this one are done
    total = models.PositiveBigIntegerField(default=0)  # messages to parse when it began
    done = models.PositiveBigIntegerField(default=0)
    changed = models.PositiveBigIntegerField(default=0)  # messages with other values than before
    changed_fields = models.JSONField(default=dict, db_default={}, blank=True)  # column of messages -> how many differ
    lost = models.PositiveBigIntegerField(default=0)  # messages without raw bytes, which are not changed
    failed = models.PositiveBigIntegerField(default=0)

    objects = ReparseQuerySet.as_manager()

    class Meta:
        db_table = "reparses"
        verbose_name = "reading of stored mail"
        verbose_name_plural = "readings of stored mail"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"reading {self.pk} of stored mail"
