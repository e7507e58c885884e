"""Connection tests: a row is created on request, filled by a worker, and shown on a page."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

from mailbox.models.accounts import Account

LASTS = timedelta(minutes=3)  # longer than both servers' time-outs; after it the test's worker must have died


class ConnectionTestQuerySet(models.QuerySet["ConnectionTest"]):
    """States of connection tests, as conditions of a query."""

    def waiting(self) -> ConnectionTestQuerySet:
        """Tests that no worker has begun, the oldest first."""
        return self.filter(started_at=None).order_by("pk")

    def at_work(self, now: datetime) -> ConnectionTestQuerySet:
        """Tests that a worker began within LASTS and has not ended."""
        return self.filter(started_at__gt=now - LASTS, finished_at=None)


class ConnectionTest(models.Model):
    """One test of an account's two servers, after a click on "Test connection" or the import of an account."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="connection_tests")
    requested_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    imap_ok = models.BooleanField(null=True)
    imap_reply = models.TextField(blank=True)
    imap_code = models.CharField(max_length=12, blank=True)  # an accounts.troubleshooting.FailureCode
    smtp_ok = models.BooleanField(null=True)
    smtp_reply = models.TextField(blank=True)
    smtp_code = models.CharField(max_length=12, blank=True)

    objects = ConnectionTestQuerySet.as_manager()

    class Meta:
        db_table = "connection_tests"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"connection test {self.pk} of account {self.account_id}"
