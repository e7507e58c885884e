"""Further addresses of an account that its mail may have in From."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.models.accounts import Account


class AccountAlias(models.Model):
    """An additional address for From (RFC 5322, 3.6.2).

    The envelope sender remains the account's own address, so that delivery reports arrive in its mailbox.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="aliases", db_index=False)
    email = models.EmailField(_("address"), max_length=254)
    display_name = models.CharField(_("name"), max_length=200, blank=True)
    signature = models.TextField(_("signature"), blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "account_aliases"
        ordering = ["email"]
        verbose_name_plural = "account aliases"
        constraints = [models.UniqueConstraint("account", Lower("email"), name="alias_once_an_account")]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        if any(ord(character) < 32 for character in self.display_name):
            raise ValidationError({"display_name": gettext("A display name has no line breaks or control characters.")})
