"""What is removed because of its age, by rules that people make; what a legal hold keeps; what was let go of."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.models.accounts import Account
from mailbox.models.messages import Message
from mailbox.models.sync import Folder


class RetentionRule(models.Model):
    """Remove one kind of thing when it is older than so many days. Without a rule all is kept."""

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
    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")  # None: of all
    folder = models.CharField(max_length=500, blank=True)  # received mail that lies in folders of this name alone
    larger_than = models.BigIntegerField(null=True, blank=True)  # bytes, of mail
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
        return now - timedelta(days=self.days)


class LegalHoldQuerySet(models.QuerySet["LegalHold"]):
    def standing(self) -> LegalHoldQuerySet:
        return self.filter(released_at=None)


class LegalHold(models.Model):
    """Nothing of this account, of this address or of this message is removed by a rule, whatever its age. Exactly one
    of the three is meant."""

    # What is held is not deleted; a hold that was released outlives what it named.
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
    """A message that a rule removed and its server still has: it is not fetched again. The row goes when the server
    removes it too, or gives its UID to another message, which `received_at`, `size` and `header_digest` tell (those
    that its place had, see mailbox.sync.reassigned_uids)."""

    folder = models.ForeignKey(Folder, models.CASCADE, related_name="+")
    uidvalidity = models.BigIntegerField()
    uid = models.BigIntegerField()
    received_at = models.DateTimeField(null=True)  # None: removed before this was noted
    size = models.BigIntegerField(null=True)
    header_digest = models.CharField(max_length=64, default="")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "messages_let_go"
        verbose_name_plural = "messages let go"
        constraints = [models.UniqueConstraint(fields=["folder", "uidvalidity", "uid"], name="let_go_unique")]

    def __str__(self) -> str:
        return f"UID {self.uid} of folder {self.folder_id}"
