"""The link that confirms a new address: valid for one user, one requested address and one hour."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse

from people.links.tokens import LinkTokens
from people.models import EmailChange

LASTS = timedelta(hours=1)


class _OfChange(LinkTokens):
    """The signature includes the new address, so a request for another address ends the earlier link."""

    wanted = ""

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        return f"{super()._make_hash_value(user, timestamp)}{self.wanted}"


def _tokens(change: EmailChange) -> LinkTokens:
    tokens = _OfChange("email", LASTS)
    tokens.wanted = change.email
    return tokens


def may_be_confirmed(change: EmailChange) -> bool:
    """Whether the user is active and nobody else has the requested address, whatever its case."""
    is_free = not User.objects.filter(email__iexact=change.email).exclude(pk=change.user_id).exists()
    return change.user.is_active and is_free


def link_for(change: EmailChange) -> str:
    """The link that confirms the change. It uses settings.BASE_URL, not the Host header, which the client chooses."""
    return settings.BASE_URL + reverse("email_confirm", args=[_tokens(change).make_token(change.user)])


def change_of(user: User, token: str) -> EmailChange | None:
    """The change that this link confirms; None when the link has expired or belongs to another user."""
    change = EmailChange.objects.select_related("user").filter(user=user).first()
    if change is None or not _tokens(change).check_token(change.user, token) or not may_be_confirmed(change):
        return None
    return change
