"""The admin's forms of accounts and transports: a new secret may be set, the stored one is never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from mailbox.accounts.credentials_change import SecretField, put_secret
from mailbox.accounts.secret_reuse import SecretRecipient, why_other
from mailbox.models import Account, Transport

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Transport]
    OfAccount = forms.ModelForm[Account]
else:
    ModelForm = OfAccount = forms.ModelForm


class AccountAdminForm(OfAccount):
    """A change of the extra CA certificate needs the secrets typed again, as on the site's own pages.

    The owner of that CA could pose as the account's servers and receive the stored secrets.
    """

    imap_password = SecretField(label=_("IMAP password"), help_text=_("Only when the extra CA certificate changes."))
    imap_oauth_token = SecretField(label=_("IMAP OAuth token"))
    smtp_password = SecretField(label=_("SMTP password"), help_text=_("Only when the extra CA certificate changes."))
    smtp_oauth_token = SecretField(label=_("SMTP OAuth token"))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        before = SecretRecipient("", None, str(self.initial.get("ca_certificate") or ""))
        reason = why_other(before, SecretRecipient("", None, str(cleaned.get("ca_certificate") or "")))
        for kind in ("imap", "smtp"):
            typed = cleaned.get(f"{kind}_password") or "", cleaned.get(f"{kind}_oauth_token") or ""
            if reason and not any(typed):
                self.add_error(f"{kind}_password", reason)
            try:
                put_secret(getattr(self.instance, kind), *typed)
            except ValidationError as error:
                self.add_error(f"{kind}_password", error)
        return cleaned


class TransportForm(ModelForm):
    """A transport; another host or port needs the secret typed again, as on the site's own pages."""

    new_password = SecretField(
        help_text=_("Leave both empty to keep the stored password, unless the host or port changes.")
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
        """Validate all constraints, also those of columns without a form field (the secrets), which ModelForm skips."""
        super().full_clean()
        if not self.is_bound or self.errors:
            return
        try:
            self.instance.validate_constraints()
        except ValidationError as error:
            self.add_error(None, error)
