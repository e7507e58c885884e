"""A site that may ask the provider on this machine, its registration there, and accounts with a grant of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from mailbox.models import Account, OAuthApp, OAuthGrant
from mailbox.oauth import apps, client, protocol
from mailbox.oauth.protocol import Tokens
from tests.servers.oidc import OidcProvider
from tests.servers.oidc_browser import Person

CALLBACK = "http://localhost:1/accounts/oauth/callback/"
ALLOWED = {"PRX_EMAIL_OAUTH_ALLOW_HTTP": "1", "PRX_EMAIL_OAUTH_ALLOW_PRIVATE": "1"}


@pytest.fixture
def provider_allowed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for processes that the test starts."""
    settings.OAUTH_ALLOW_HTTP = settings.OAUTH_ALLOW_PRIVATE = True
    for name, value in ALLOWED.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def app(db: None, oidc: OidcProvider, provider_allowed: None) -> OAuthApp:
    """The site's registration at the provider of the tests, as another provider than the known ones."""
    row = OAuthApp(kind="discovery", name="Example", client_id=oidc.client[0], discovery_url=oidc.discovery)
    row.client_secret = oidc.client[1]
    row.scopes, row.application_scopes, row.domains = "openid email offline_access mail", "mail", "example.test"
    row.document = client.discover(oidc.discovery)
    row.save()
    return row


def consented(app: OAuthApp, name: str) -> Tokens:
    """What the provider gives after this person's consent."""
    provider, known = apps.provider_of(app), apps.client_of(app)
    address = protocol.authorization_address(
        provider, known.client_id, callback=CALLBACK, state="s", nonce="n", verifier="v" * 64, login_hint=name
    )
    code = parse_qs(urlsplit(Person(name).authorize(address)).query)["code"][0]
    return client.ask_for_tokens(
        protocol.code_request(provider, known, code=code, callback=CALLBACK, verifier="v" * 64), []
    )


@pytest.fixture
def granted(app: OAuthApp, make_account: Callable[..., Account], mail_user: str) -> Callable[..., Account]:
    """An account on `dovecot` whose two transports sign in by one grant of `app`, really consented to."""

    def make(expires_in: float | None = None, **fields: Any) -> Account:
        tokens, now = consented(app, mail_user), timezone.now()
        grant = OAuthGrant(app=app, flow="person", identity=mail_user, scope=tokens.scope or "")
        grant.access_token, grant.refresh_token = tokens.access_token, tokens.refresh_token
        lasts = (tokens.expires_in or 0) if expires_in is None else expires_in
        grant.expires_at = now + timedelta(seconds=lasts)
        for name, value in fields.items():
            setattr(grant, name, value)
        grant.save()
        return make_account(mail_user, imap_password=None, smtp_password=None, imap_grant=grant, smtp_grant=grant)

    return make
