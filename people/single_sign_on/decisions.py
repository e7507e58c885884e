"""Decides who may sign in, as which user and with which role. django-allauth calls it after the provider's answer."""

from __future__ import annotations

import secrets
from typing import Any, NoReturn

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base.constants import AuthError
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest

from mailbox.models import AuditEntry
from people.sign_in import audit
from people.sign_in.refusals import refused
from people.single_sign_on import client, pages, protocol, roles
from people.single_sign_on.users import SignOnRefused, found_or_made


class SocialAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """allauth's adapter for the single sign-on."""

    def list_apps(self, request: HttpRequest, provider: str | None = None, client_id: str | None = None) -> Any:
        """The registration in the environment; allauth's table has none."""
        return [protocol.app()] if settings.SSO_ISSUER else []

    def get_requests_session(self) -> Any:
        """The session for all of allauth's requests to the provider. Raises RequestException, which its callers
        expect."""
        return client.session()

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """No sign-up form: pre_social_login() has made the user already."""
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Connect the login to an existing or new user with the role of the groups, or raise ImmediateHttpResponse with
        the page that says why not."""
        id_token = sociallogin.account.extra_data["id_token"]
        is_answer = secrets.compare_digest(str(id_token.get("nonce", "")), sociallogin.state["nonce"])
        if not is_answer or not protocol.was_asked(id_token, sociallogin.state.get("again_at")):
            raise ImmediateHttpResponse(pages.failed(request, "failed", None))
        claims = protocol.claims_of(sociallogin)
        role = roles.role_of(claims)
        known = sociallogin.user if sociallogin.is_existing else None
        try:
            if role is None:
                raise SignOnRefused("too_many_groups" if roles.are_left_out(claims) else "no_role", known)
            with transaction.atomic():
                user = known or found_or_made(claims)
                if not user.is_active:
                    raise SignOnRefused("inactive", user)
                if known is None:
                    _connect(request, sociallogin, user)
                roles.give(user, role)
        except SignOnRefused as refusal:
            self._refuse(request, refusal)

    def _refuse(self, request: HttpRequest, refusal: SignOnRefused) -> NoReturn:
        if refusal.reason == "no_role" and refusal.user is not None:
            roles.take_away(refusal.user)
        audit.record_refusal(request, refusal.user, refusal.reason)
        raise ImmediateHttpResponse(refused(request, refusal.reason))

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        """Raise ImmediateHttpResponse with the page that says whether it was cancelled, is stale or failed."""
        reason = "cancelled" if error == AuthError.CANCELLED else "failed"
        if "state" not in (extra_context or {}) or isinstance(exception, PermissionDenied):
            reason = "stale"
        raise ImmediateHttpResponse(pages.failed(request, reason, exception))


def _connect(request: HttpRequest, login: SocialLogin, user: User) -> None:
    login.connect(request, user)
    AuditEntry.objects.create(user=user, verb="sign_on_connected", target=audit.target_of(user))
