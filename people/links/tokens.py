"""Makes and checks links that set a password: a signature over the user's current state, which using the link changes.

By Django's PasswordResetTokenGenerator (HMAC-SHA-256 over pk, password hash, last sign-in and address), so a link can
be used once, and a sign-in, a new password or another address ends it. Nothing is stored.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.urls import reverse
from django.utils.http import base36_to_int

from people.links import site_mail
from people.sign_in.local_passwords import may_use_password


class LinkPurpose(StrEnum):
    """The purpose of a link; part of its URL and its signature."""

    INVITATION = "invitation"
    PASSWORD = "password"  # noqa: S105 - a word, and no secret


LASTS = {LinkPurpose.INVITATION: timedelta(days=7), LinkPurpose.PASSWORD: timedelta(hours=1)}
IN_BROWSER = timedelta(minutes=30)  # between opening the link and sending the new password


class LinkTokens(PasswordResetTokenGenerator):
    """Tokens of one kind, valid for `lasts`. settings.PASSWORD_RESET_TIMEOUT must not be shorter."""

    def __init__(self, kind: str, lasts: timedelta) -> None:
        super().__init__()
        self.key_salt = f"people.links.{kind}"
        self.lasts = lasts

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        """Adds the account of the site's mail, so that choosing another one ends all links: the former account may be
        synced then, and people who read it would find links in its Sent folder."""
        state = super()._make_hash_value(user, timestamp)
        return f"{state}{user.is_active}{user.get_username()}{site_mail.chosen()}"

    def check_token(self, user: User | None, token: str | None) -> bool:
        """Whether the token is the user's, unused and not older than `lasts`."""
        if not super().check_token(user, token):
            return False
        made = base36_to_int(str(token).partition("-")[0])
        return self._num_seconds(self._now()) - made <= self.lasts.total_seconds()


_of_link = {purpose: LinkTokens(purpose.value, lasts) for purpose, lasts in LASTS.items()}
_of_browser = LinkTokens("browser", IN_BROWSER)


def link_for(user: User, purpose: LinkPurpose) -> str:
    """The URL by which the user's password can be chosen. It uses settings.BASE_URL, not the request's Host header,
    which the client chooses."""
    token = _of_link[purpose].make_token(user)
    return settings.BASE_URL + reverse("password_link", args=[purpose.value, user.pk, token])


def user_of_link(purpose: str, pk: int, token: str) -> User | None:
    """The user of a valid link, else None."""
    user = User.objects.filter(pk=pk).first()
    is_good = user is not None and purpose in LASTS and _of_link[LinkPurpose(purpose)].check_token(user, token)
    return user if is_good and may_have_link(user) else None


def proof_for_browser(user: User) -> str:
    """The token that the session keeps instead of the link's: no link accepts it, and the same changes end it."""
    return _of_browser.make_token(user)


def user_of_proof(pk: object, proof: object) -> User | None:
    """The user for whom a link was opened in this browser, from its session; None if the proof is invalid or old."""
    user = User.objects.filter(pk=pk).first() if isinstance(pk, int) else None
    return user if _of_browser.check_token(user, str(proof)) and may_have_link(user) else None


def may_have_link(user: User | None) -> bool:
    """Whether the user could sign in by a new password: active, and allowed to use a local password."""
    return user is not None and user.is_active and may_use_password(user.get_username())
