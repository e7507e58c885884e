"""The result of comparing an account's folders with its server."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from mailbox.models.accounts import Account


class Completeness(models.Model):
    """An account's last finished comparison, and the progress of a running one.

    document: the signed report of the finished one (see mailbox.completeness.signature). progress: the running one's
    results by the folder's pk.
    """

    account = models.OneToOneField(Account, models.CASCADE, related_name="completeness")
    next_at = models.DateTimeField(default=timezone.now, db_index=True)  # when to begin, continue or retry
    started_at = models.DateTimeField(null=True)  # of the running one; NULL while none is running
    progress = models.JSONField(default=dict, blank=True)
    sampled_to = models.JSONField(default=dict, blank=True)  # folder's pk -> UID after which the next sample begins
    finished_at = models.DateTimeField(null=True)
    document = models.JSONField(default=dict, blank=True)
    differing = models.PositiveIntegerField(default=0)  # messages that differ, in the finished one
    error = models.TextField(blank=True)  # why the last try failed

    class Meta:
        db_table = "completeness"
        verbose_name_plural = "completeness"

    def __str__(self) -> str:
        return f"completeness of account {self.account_id}"
