"""Access tokens from the site's own class, named in PRX_EMAIL_OAUTH_REFRESH_PROVIDER (for a vault, a token service)."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from mailbox.errors import ProviderError
from mailbox.oauth import protocol
from mailbox.oauth.protocol import Tokens


class RefreshProvider(Protocol):
    """The interface of the class. An instance is created for each refresh, in the worker that needs the token; no two
    refreshes of one account run at once."""

    def refresh(self, email: str, user: str) -> Tokens:
        """A new access token for the mailbox `user` of the account `email`: `Tokens(access_token, expires_in=3600)`.

        Raise mailbox.errors.SignInRefused when a person must act. Any other exception means: ask again later.
        """
        ...


def is_configured() -> bool:
    """Whether the site has named a class that gives access tokens."""
    return bool(settings.OAUTH_REFRESH_PROVIDER)


def refresh(email: str, user: str) -> Tokens:
    """Call the class. Raises ProviderError when it returns no access token, and every exception of the class."""
    provider: RefreshProvider = import_string(settings.OAUTH_REFRESH_PROVIDER)()
    tokens = provider.refresh(email, user)
    token = tokens.access_token if isinstance(tokens, Tokens) else None
    if not isinstance(token, str) or not token or not token.isprintable():
        raise ProviderError("The class in PRX_EMAIL_OAUTH_REFRESH_PROVIDER gave no access token.")
    return replace(tokens, expires_in=protocol.seconds_of(tokens.expires_in))
