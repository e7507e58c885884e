"""New credentials for a transport: the form field, setting them, and what follows from the change."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from mailbox.endpoints import secret_problem
from mailbox.models import Account, SyncState, Transport
from mailbox.signals import credentials_changed

EXACTLY_ONE = _("Give exactly one of password and OAuth token.")
# Columns of a transport to save: with other credentials, and with cleared failures.
SECRETS = ["encrypted_password", "encrypted_oauth_token", "oauth_expires_at", "grant_id"]
FAILURES = ["needs_sign_in_since", "last_reply", "failure_count", "next_allowed_at"]


class SecretField(forms.CharField):
    """A password field that is never filled in again, and keeps spaces."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"})
        super().__init__(required=False, strip=False, max_length=20_000, widget=widget, **kwargs)


def put_secret(transport: Transport, password: str, token: str) -> None:
    """Set password or token on the transport, and clear the other; with both "" nothing changes.

    Raises ValidationError when both are given, or one has line breaks or control characters.
    """
    if password and token:
        raise ValidationError(EXACTLY_ONE)
    if problem := secret_problem(password or token):
        raise ValidationError(problem)
    if password:
        transport.password, transport.oauth_token, transport.grant = password, None, None
    elif token:
        transport.password, transport.oauth_token, transport.grant = None, token, None


def forget_failures(transport: Transport) -> None:
    """Clear the transport's failures and backoff: they belong to the former credentials or server."""
    transport.needs_sign_in_since = transport.next_allowed_at = None
    transport.last_reply, transport.failure_count = "", 0


def announce_change(account_id: int) -> None:
    """End the backoff of the account's folders, and send `credentials_changed` after the commit.

    What a receiver raises is logged: the change is saved, and what it would have done, a sweep does.
    """
    SyncState.objects.filter(account_id=account_id).update(next_allowed_at=None, failure_count=0)
    transaction.on_commit(lambda: credentials_changed.send_robust(sender=Account, account_id=account_id))
