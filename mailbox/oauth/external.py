"""A refresh provider of one's own: a class named in PRX_EMAIL_OAUTH_REFRESH_PROVIDER (a vault, a token service)."""

from __future__ import annotations

from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

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
    provider: RefreshProvider = import_string(settings.OAUTH_REFRESH_PROVIDER)()
    return provider.refresh(email, user)
