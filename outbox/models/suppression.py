"""Addresses that an account does not write to any more."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.models import Account


class SuppressedAddress(models.Model):
    """An address that an account does not write to, and why. Taking it off the list deletes the row."""

    class Reason(models.TextChoices):
        BOUNCED = "bounced", _("it bounced for good")
        COMPLAINT = "complaint", _("its owner complained")
        BY_HAND = "by_hand", _("somebody put it on the list")

    account = models.ForeignKey(Account, models.CASCADE, related_name="suppressed", db_index=False)
    address = models.CharField(max_length=320)  # lower case
    reason = models.CharField(max_length=9, choices=Reason)
    words = models.CharField(max_length=300, blank=True)  # the server's, or the person's
    since = models.DateTimeField(default=timezone.now)
    added_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")

    class Meta:
        db_table = "suppressed_addresses"
        verbose_name_plural = "suppressed addresses"
        constraints = [models.UniqueConstraint(fields=["account", "address"], name="suppressed_once_an_account")]

    def __str__(self) -> str:
        return self.address
