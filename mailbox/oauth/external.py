"""A refresh provider of one's own: a class named in PRX_EMAIL_OAUTH_REFRESH_PROVIDER (a vault, a token service)."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from mailbox.errors import ProviderError
from mailbox.oauth import protocol
from mailbox.oauth.protocol import Tokens


class RefreshProvider(Protocol):
    """What the class must offer. It is made anew for each refresh, in whichever worker needs one, and never twice at
    once for one account."""

    def refresh(self, email: str, user: str) -> Tokens:
        """A new access token for the mailbox `user` of the account `email`. `Tokens(access_token, expires_in=3600)`.

        Raises mailbox.errors.SignInRefused when a person must act, and anything else when it should be asked later.
        """
        ...


def is_configured() -> bool:
    return bool(settings.OAUTH_REFRESH_PROVIDER)


def refresh(email: str, user: str) -> Tokens:
    """Raises ProviderError for what is no access token, and whatever the class raises."""
    provider: RefreshProvider = import_string(settings.OAUTH_REFRESH_PROVIDER)()
    tokens = provider.refresh(email, user)
    token = tokens.access_token if isinstance(tokens, Tokens) else None
    if not isinstance(token, str) or not token or not token.isprintable():
        raise ProviderError("The class in PRX_EMAIL_OAUTH_REFRESH_PROVIDER gave no access token.")
    return replace(tokens, expires_in=protocol.seconds_of(tokens.expires_in))
