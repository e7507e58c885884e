"""The form to sign in again: a new secret for one transport, or for both."""

from __future__ import annotations

import copy
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.accounts.credentials_change import (
    FAILURES,
    SECRETS,
    SecretField,
    announce_change,
    forget_failures,
    put_secret,
)
from mailbox.models import Transport


class SignInForm(forms.Form):
    """Asks for the secret of one transport, and nothing else."""

    password = SecretField(label=_("Password or app password"))
    oauth_token = SecretField(label=_("OAuth access token"))
    both = forms.BooleanField(required=False, initial=True)

    def __init__(self, *args: Any, transport: Transport, other: Transport, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.transport, self.other = copy.copy(transport), copy.copy(other)
        self.fields["password"].widget.attrs["autofocus"] = True
        self.fields["both"].label = gettext("Use it for %(server)s too") % {"server": other.get_kind_display()}
        if (transport.user, transport.auth_method) != (other.user, other.auth_method):
            self.fields["both"].initial = False

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        password, token = cleaned.get("password", ""), cleaned.get("oauth_token", "")
        if not password and not token:
            self.add_error("password", gettext("Enter the password or the OAuth token."))
            return cleaned
        try:
            for transport in self._changed():
                put_secret(transport, password, token)
                transport.validate_constraints()
        except ValidationError as error:
            self.add_error("password", error)
        return cleaned

    def _changed(self) -> list[Transport]:
        return [self.transport, self.other] if self.cleaned_data.get("both") else [self.transport]

    def save(self, account_id: int) -> None:
        """Store the secret, forget the transports' failures, and announce the change, in one transaction."""
        with transaction.atomic():
            for transport in self._changed():
                forget_failures(transport)
                transport.save(update_fields=[*SECRETS, *FAILURES])
            announce_change(account_id)
