"""Feature flags: a share of all accounts has a feature, and single accounts may differ."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailbox.models.accounts import Account


class Feature(models.TextChoices):
    """The feature flags of PRX-Email, with its names for them."""

    INBOX_READ = "inbox_read", _("Reading received mail")
    INBOX_SEARCH = "inbox_search", _("Searching received mail")
    EMAIL_SEND = "email_send", _("Writing new mail")
    EMAIL_REPLY = "email_reply", _("Answering mail")
    OUTBOX_RETRY = "outbox_retry", _("Retrying mail by hand")


class FeatureSetting(models.Model):
    """A row without an account states the percentage of accounts that have the feature.

    A row with an account is for it alone, with 0 or 100. Without any row every account has the feature.
    """

    feature = models.CharField(max_length=20)  # a Feature
    account = models.ForeignKey(Account, models.CASCADE, null=True, related_name="+")
    percent = models.PositiveSmallIntegerField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "feature_settings"
        constraints = [
            models.UniqueConstraint(fields=["feature", "account"], name="feature_account_unique"),
            models.UniqueConstraint(fields=["feature"], condition=Q(account=None), name="feature_share_unique"),
            models.CheckConstraint(
                name="feature_percent",
                condition=Q(percent__lte=100) & (Q(account=None) | Q(percent__in=[0, 100])),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.feature}: {self.percent} %"
