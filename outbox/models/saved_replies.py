"""Saved replies: texts that a team uses often, with fields that are replaced when one is inserted."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from mailbox.models import Account


class SavedReply(models.Model):
    """A named text for all who write from its account, or from any account if it has none."""

    name = models.CharField(_("name"), max_length=80)
    text = models.TextField(_("text"), max_length=10_000)
    account = models.ForeignKey(
        Account, models.CASCADE, null=True, blank=True, related_name="saved_replies", verbose_name=_("account")
    )
    changed_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+", editable=False)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "saved_replies"
        ordering = ["name", "pk"]
        verbose_name_plural = "saved replies"

    def __str__(self) -> str:
        return self.name
