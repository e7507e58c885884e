"""The requests to the provider, by django-allauth, and the checks of its answers."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from people.single_sign_on.client import schemes

PROVIDER_ID = "company"
SKEW_SECONDS = 120


def app() -> SocialApp:
    """The registration at the provider, from the environment; it is never stored."""
    return SocialApp(
        provider=OpenIDConnectProvider.id,
        provider_id=PROVIDER_ID,
        name=PROVIDER_ID,
        client_id=settings.SSO_CLIENT_ID,
        secret=settings.SSO_CLIENT_SECRET,
        settings={"server_url": settings.SSO_ISSUER, "oauth_pkce_enabled": True, "scope": settings.SSO_SCOPES},
    )


class Adapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """allauth's adapter for the company's provider. Raises OAuth2Error for an answer that fails a check, and
    RequestException when there is none."""

    def __init__(self, request: HttpRequest, provider_id: str = PROVIDER_ID) -> None:
        super().__init__(request, provider_id)

    def get_provider(self) -> SignOnProvider:
        """The provider with the registration from the environment."""
        return SignOnProvider(self.request, app=app())

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        """The redirect URI, as it must be registered at the provider."""
        return request.build_absolute_uri(reverse("sso_callback"))

    @property
    def openid_config(self) -> dict[str, Any]:
        """The provider's discovery document. Its issuer must be the configured one (Discovery 1.0, 4.3)."""
        found: dict[str, Any] = super().openid_config
        if str(found["issuer"]).rstrip("/") != settings.SSO_ISSUER:
            raise OAuth2Error("The document names another issuer.")
        if urlsplit(str(found["authorization_endpoint"])).scheme not in schemes():
            raise OAuth2Error("The document leads to a page without TLS.")
        return found

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **more: Any) -> SocialLogin:
        """allauth's login after our checks of the ID token. Raises OAuth2Error."""
        if not more["response"].get("id_token"):
            raise OAuth2Error("The answer holds no ID token.")
        login = super().complete_login(request, app, token, **more)
        said = login.account.extra_data
        if said["userinfo"].get("sub") != said["id_token"]["sub"]:
            raise OAuth2Error("userinfo speaks of somebody else than the ID token.")
        if not is_for_us(said["id_token"], app.client_id):
            raise OAuth2Error("The ID token has no end, or was made for another application.")
        return login


class SignOnProvider(OpenIDConnectProvider):  # type: ignore[misc]
    """The one provider; a user is known there by issuer and subject."""

    oauth2_adapter_class = Adapter

    def extract_uid(self, data: dict[str, Any]) -> str:
        """A digest of issuer and subject, as a subject is unique only within its issuer (Core 1.0, 2)."""
        token = data["id_token"]
        return hashlib.sha256(f"{token['iss']} {token['sub']}".encode()).hexdigest()


def is_for_us(id_token: dict[str, Any], client_id: str) -> bool:
    """Whether the ID token has an expiry and was issued to this client, which PyJWT does not check: with several
    audiences, `azp` must name the client (Core 1.0, 2; 3.1.3.7, items 4 and 5)."""
    audience = id_token.get("aud")
    is_shared = isinstance(audience, list) and len(audience) > 1
    made_for = id_token.get("azp", None if is_shared else client_id)
    return made_for == client_id and isinstance(id_token.get("exp"), int | float)


def was_asked(id_token: dict[str, Any], again_at: int | None) -> bool:
    """Whether the person has signed in at the provider again since `again_at` (Unix seconds; None: not asked for).

    The provider's `auth_time` (Core 1.0, 2) decides, since the browser could have removed `prompt` from the request. A
    provider that states no `auth_time` is trusted to have asked.
    """
    said = id_token.get("auth_time")
    return again_at is None or not isinstance(said, int | float) or said >= again_at - SKEW_SECONDS


def claims_of(login: SocialLogin) -> dict[str, Any]:
    """The claims about the person in the ID token and userinfo; userinfo wins."""
    said = login.account.extra_data
    return {**said["id_token"], **said["userinfo"]}
