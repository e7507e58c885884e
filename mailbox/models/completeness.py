"""What a comparison of an account's folders with its server found."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from mailbox.models.accounts import Account


class Completeness(models.Model):
    """An account's last finished comparison (`document`, signed: see mailbox.completeness.signature), and how far the
    one is that is under way (`progress`: a line a folder, by the folder's key)."""

    account = models.OneToOneField(Account, models.CASCADE, related_name="completeness")
    next_at = models.DateTimeField(default=timezone.now, db_index=True)  # when it begins, goes on, or is tried again
    started_at = models.DateTimeField(null=True)  # of the one under way; NULL while none is
    progress = models.JSONField(default=dict, blank=True)
    sampled_to = models.JSONField(
        default=dict, blank=True
    )  # folder's key -> the UID behind which the next sample begins
    finished_at = models.DateTimeField(null=True)
    document = models.JSONField(default=dict, blank=True)
    differing = models.PositiveIntegerField(default=0)  # of the finished one
    error = models.TextField(blank=True)  # why the last try did not come to its end

    class Meta:
        db_table = "completeness"
        verbose_name_plural = "completeness"

    def __str__(self) -> str:
        return f"completeness of account {self.account_id}"
