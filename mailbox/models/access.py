"""Roles of users for single accounts, and the audit trail."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from mailbox.models.accounts import Account


class AccountGrant(models.Model):
    """A role for one account. A role for all accounts is a group: viewer, operator or administrator."""

    class Role(models.TextChoices):
        VIEWER = "viewer", _("viewer")
        OPERATOR = "operator", _("operator")
        ADMINISTRATOR = "administrator", _("administrator")

    user = models.ForeignKey("auth.User", models.CASCADE, related_name="account_grants")
    account = models.ForeignKey(Account, models.CASCADE, related_name="grants")
    role = models.CharField(max_length=13, choices=Role)

    class Meta:
        db_table = "account_grants"
        constraints = [models.UniqueConstraint(fields=["user", "account"], name="grant_unique")]

    def __str__(self) -> str:
        return f"{self.role} of account {self.account_id}"


class AuditEntry(models.Model):
    """One action of a user or of a command that changed something, with its target and its outcome."""

    OWN_MAIL = gettext_noop("the site's own mail")  # `detail` of mail that the site itself wrote

    at = models.DateTimeField(default=timezone.now, db_index=True)
    user = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+", db_index=False)
    account = models.ForeignKey(Account, models.SET_NULL, null=True, related_name="+", db_index=False)
    verb = models.CharField(max_length=40)  # "retry", "send_now", "cancel", "sync_now", ...
    target = models.CharField(max_length=60, blank=True)  # "outbox:42", "account:3"
    detail = models.TextField(blank=True)
    # The entry of the bulk action of which this is a part; None for a single action and for a bulk action itself.
    part_of = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="parts", db_index=False)

    class Meta:
        db_table = "audit_entries"
        verbose_name_plural = _("audit entries")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["target", "-id"], name="audit_by_target"),
            models.Index(fields=["account", "-id"], name="audit_by_account"),
            # Lists show actions without parts, and the parts of one bulk action when it is opened.
            models.Index(fields=["-id"], name="audit_clicks", condition=models.Q(part_of__isnull=True)),
            models.Index(fields=["part_of", "-id"], name="audit_parts", condition=models.Q(part_of__isnull=False)),
            models.Index(fields=["user", "-id"], name="audit_by_user"),
            models.Index(fields=["verb", "-id"], name="audit_by_verb"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.target}"
