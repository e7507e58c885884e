"""Retention rules, which remove data by age; legal holds against them; and messages that a rule has removed."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.models.accounts import Account
from mailbox.models.messages import Message
from mailbox.models.sync import Folder


class RetentionRule(models.Model):
    """Removes data of one kind that is older than `days`. Without a rule everything is kept."""

    class What(models.TextChoices):
        RECEIVED = "received", _("received mail")
        SENT = "sent", _("sent and cancelled mail, with its attempts")
        REPORTS = "reports", _("bounces and complaints that were seen")
        ACTIVITY = "activity", _("the activity")
        RUNS = "runs", _("reports of sync runs")
        DRAFTS = "drafts", _("drafts")
        INCIDENTS = "incidents", _("incidents that are over")

    what = models.CharField(max_length=9, choices=What)
    days = models.PositiveIntegerField()
    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")  # None: all accounts
    folder = models.CharField(max_length=500, blank=True)  # received mail in folders of this name alone
    larger_than = models.BigIntegerField(null=True, blank=True)  # only mail above so many bytes
    created_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    removed = models.BigIntegerField(default=0)  # rows, since the rule was made
    last_removed_at = models.DateTimeField(null=True)
    TERMS = ("what", "days", "account", "folder", "larger_than")

    class Meta:
        db_table = "retention_rules"

    def __str__(self) -> str:
        return f"{self.what} older than {self.days} days"

    def cutoff(self, now: datetime) -> datetime:
        """The time before which the rule's data is removed."""
        return now - timedelta(days=self.days)


class LegalHoldQuerySet(models.QuerySet["LegalHold"]):
    """States of legal holds, as conditions of a query."""

    def standing(self) -> LegalHoldQuerySet:
        """Holds that nobody has released."""
        return self.filter(released_at=None)


class LegalHold(models.Model):
    """Keeps an account's mail, mail with an address, or one message from being removed. Exactly one of them is set."""

    # SET_NULL: an account or a message cannot be deleted while it is held, but a released hold outlives it.
    account = models.ForeignKey(Account, models.SET_NULL, null=True, blank=True, related_name="+")
    address = models.CharField(max_length=320, blank=True)  # lower case
    message = models.ForeignKey(Message, models.SET_NULL, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=300)
    created_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    released_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, blank=True, related_name="+")
    released_at = models.DateTimeField(null=True, blank=True)

    objects = LegalHoldQuerySet.as_manager()

    class Meta:
        db_table = "legal_holds"

    def __str__(self) -> str:
        return f"hold {self.pk}: {self.reason}"


class LetGo(models.Model):
    """A message that a rule removed here but that its server still has; it is not fetched again.

    The row is deleted when the server expunges the message or gives its UID to another one. `received_at`, `size` and
    `header_digest`, copied from its place, show the latter (see mailbox.sync.reassigned_uids).
    """

    folder = models.ForeignKey(Folder, models.CASCADE, related_name="+")
    uidvalidity = models.BigIntegerField()
    uid = models.BigIntegerField()
    received_at = models.DateTimeField(null=True)  # None: removed before this column existed
    size = models.BigIntegerField(null=True)
    header_digest = models.CharField(max_length=64, default="")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "messages_let_go"
        verbose_name_plural = "messages let go"
        constraints = [models.UniqueConstraint(fields=["folder", "uidvalidity", "uid"], name="let_go_unique")]

    def __str__(self) -> str:
        return f"UID {self.uid} of folder {self.folder_id}"
