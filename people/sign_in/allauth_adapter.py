"""django-allauth's account adapter: the site's decisions while a person signs in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.utils import get_login_redirect_url
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext

from people.sign_in import audit, step_up
from people.sign_in.client_address import client_address
from people.sign_in.local_passwords import may_use_password
from people.sign_in.refusals import refused


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Allows no sign-up; writes each sign-in to the audit when it is complete, after the second factor if there is
    one."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up: users are invited, or come from the single sign-on."""
        return False

    def post_login(self, request: HttpRequest, user: User, **more: Any) -> HttpResponse:
        """Record the sign-in, which is complete now, and redirect to where the person wanted to go."""
        methods = [each.get("method", "") for each in request.session.get("account_authentication_methods", [])]
        audit.record_sign_in(request, user, "+".join(methods) or "password")
        return redirect(get_login_redirect_url(request, more.get("redirect_url")))

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """The page that an inactive user gets."""
        return refused(request, "inactive")

    def get_reauthentication_methods(self, user: User) -> list[dict[str, str]]:
        """As allauth's, but computed once for a request instead of at each call."""
        if not user.is_authenticated:
            return []
        kept: list[dict[str, str]] | None = getattr(user, "_ways_to_prove", None)
        if kept is None:
            kept = list(_ways_to_prove(user))
            user._ways_to_prove = kept  # type: ignore[attr-defined]
        return [dict(each) for each in kept]

    def is_reauthentication_required(self, *, app: str, **more: Any) -> bool:
        """Whether allauth's own pages ask again: as step_up does for this site's."""
        return not step_up.is_fresh(self.request, step_up.TO_OPEN)

    def get_client_ip(self, request: HttpRequest) -> str:
        """The client's address behind trusted proxies."""
        return client_address(request)

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Show no message of allauth: the site's pages have their own."""

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send no mail of allauth: it tells of changes that the audit shows, or links to pages that do not exist
        here."""


def _ways_to_prove(user: User) -> Iterator[dict[str, str]]:
    """The ways in which the user can reauthenticate, each with its page. The first one is offered by default."""
    if settings.SSO_ISSUER and SocialAccount.objects.filter(user=user).exists():
        yield _way("sso_begin", "sso", gettext("Use your company's sign-on"))
    types = set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    if user.has_usable_password() and may_use_password(user.get_username()):
        yield _way("account_reauthenticate", "reauthenticate", gettext("Use your password"))
    if types & {Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES}:
        yield _way("mfa_reauthenticate", "mfa_reauthenticate", gettext("Use a code"))
    if Authenticator.Type.WEBAUTHN in types:
        yield _way("mfa_reauthenticate_webauthn", "mfa_reauthenticate:webauthn", gettext("Use a passkey"))


def _way(name: str, key: str, description: str) -> dict[str, str]:
    return {"id": key, "description": description, "url": reverse(name)}
