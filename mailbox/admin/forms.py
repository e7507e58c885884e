"""The admin's form of a transport: a new secret may be set, the stored one is never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from mailbox.accounts.forms import SecretField, put_secret
from mailbox.accounts.secret_reuse import SecretRecipient, why_other
from mailbox.models import Transport

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Transport]
else:
    ModelForm = forms.ModelForm


class TransportForm(ModelForm):
    new_password = SecretField(
        help_text=_("Leave both empty to keep the stored secret, unless the host or port changes.")
    )
    new_oauth_token = SecretField(label=_("New OAuth token"))

    class Meta:
        model = Transport
        fields = ("host", "port", "security", "user")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        is_typed = bool(cleaned.get("new_password") or cleaned.get("new_oauth_token"))
        before = SecretRecipient(str(self.initial.get("host", "")), self.initial.get("port"))
        reason = why_other(before, SecretRecipient(cleaned.get("host") or "", cleaned.get("port")))
        if not is_typed and reason:
            self.add_error("new_password", reason)
        try:
            put_secret(self.instance, cleaned.get("new_password") or "", cleaned.get("new_oauth_token") or "")
        except ValidationError as error:
            self.add_error("new_password", error)
        return cleaned

    def full_clean(self) -> None:
        """All constraints: ModelForm leaves out those on columns without a field, and the secrets' are such."""
        super().full_clean()
        if not self.is_bound or self.errors:
            return
        try:
            self.instance.validate_constraints()
        except ValidationError as error:
            self.add_error(None, error)
