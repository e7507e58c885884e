"""Google, Microsoft and Yahoo by their documents: what each is asked, and whose ID token is believed."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from mailbox.errors import ProviderError
from mailbox.models import OAuthApp, OAuthGrant
from mailbox.oauth import apps, client, direct, id_token, protocol, providers
from mailbox.oauth.protocol import ClientId, Tokens

NOW = 1_800_000_000.0
TENANT = "11111111-2222-3333-4444-555555555555"
ME = ClientId("our-id", "our-secret")


def asked_of(provider: providers.Provider) -> tuple[str, dict[str, str]]:
    address = protocol.authorization_address(
        provider, "our-id", callback="https://s/cb", state="s", nonce="n", verifier="v" * 64, login_hint="a@b.example"
    )
    return address.partition("?")[0], dict(parse_qsl(urlsplit(address).query))


def test_google_is_asked_for_a_refresh_token_each_time() -> None:
    where, asked = asked_of(providers.google())
    assert where == "https://accounts.google.com/o/oauth2/v2/auth"
    assert (asked["access_type"], asked["prompt"]) == ("offline", "consent")
    assert "https://mail.google.com/" in asked["scope"].split()


def test_microsoft_is_asked_at_the_tenant_for_both_protocols_and_offline_access() -> None:
    where, asked = asked_of(providers.microsoft(TENANT))
    assert where == f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize"
    wanted = {
        "offline_access",
        "https://outlook.office.com/IMAP.AccessAsUser.All",
        "https://outlook.office.com/SMTP.Send",
    }
    assert wanted <= set(asked["scope"].split())
    assert asked_of(providers.microsoft(""))[0].startswith("https://login.microsoftonline.com/common/")
    assert asked_of(providers.microsoft("a/../b"))[0].startswith("https://login.microsoftonline.com/a%2F..%2Fb/")


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ("https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send", 0),
        ("https://outlook.office.com/imap.accessasuser.all", 1),
        ("openid", 2),
        (None, 0),
    ],
)
def test_a_consent_that_leaves_a_protocol_out_is_noticed(granted: str | None, missing: int) -> None:
    assert len(protocol.missing_scopes(providers.microsoft(), granted)) == missing


def test_yahoo_is_told_the_secret_in_the_header() -> None:
    address, headers, body = protocol.refresh_request(providers.yahoo(), ME, "r3fresh")
    assert address == "https://api.login.yahoo.com/oauth2/get_token"
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode() == "our-id:our-secret"
    assert parse_qs(body) == {"grant_type": ["refresh_token"], "refresh_token": ["r3fresh"]}
    assert asked_of(providers.yahoo())[1]["scope"] == "openid email mail-r mail-w"


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["google", "microsoft", "yahoo"])
def test_an_answer_of_each_is_read_through_the_stored_registration(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the row to the request on the wire and back; only the network is not there."""
    sent: list[protocol.Request] = []

    def answered(request: protocol.Request, secrets: list[str]) -> Tokens:
        sent.append(request)
        given = {"access_token": "new", "refresh_token": "rotated", "expires_in": "3599"}  # Microsoft's is a text
        return protocol.read_tokens(200, {}, json.dumps(given).encode(), secrets)

    monkeypatch.setattr(client, "ask_for_tokens", answered)
    app = OAuthApp(kind=kind, name=kind, client_id="our-id", tenant=TENANT if kind == "microsoft" else "")
    app.client_secret = "our-secret"
    app.save()
    grant = OAuthGrant(app=app, flow="person")
    grant.access_token, grant.refresh_token = "old", "r3fresh"
    grant.save()
    tokens = direct.ask(grant, "a@b.example", "a@b.example")
    assert (tokens.access_token, tokens.refresh_token, tokens.expires_in) == ("new", "rotated", 3599)
    assert sent[0][0] == apps.provider_of(app).token_endpoint and "r3fresh" in sent[0][2]


@pytest.mark.django_db
def test_client_credentials_ask_the_tenant_for_all_mailboxes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[protocol.Request] = []
    monkeypatch.setattr(client, "ask_for_tokens", lambda request, _: sent.append(request) or Tokens("t"))
    app = OAuthApp(kind="microsoft", name="Microsoft", client_id="our-id", tenant=TENANT)
    app.client_secret = "our-secret"
    app.save()
    direct.ask(OAuthGrant(app=app, flow="application"), "a@b.example", "a@b.example")
    address, _headers, body = sent[0]
    assert address == f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"
    assert parse_qs(body)["scope"] == ["https://outlook.office365.com/.default"]
    assert parse_qs(body)["grant_type"] == ["client_credentials"]


def token(**claims: Any) -> str:
    def part(of: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(of).encode()).decode().rstrip("=")

    standing = {"sub": "1", "aud": "our-id", "exp": NOW + 60, "iat": NOW, "nonce": "n"}
    return f"{part({'alg': 'RS256'})}.{part({**standing, **claims})}.c2ln"


def named(issuer: str, **claims: Any) -> list[str]:
    return id_token.identities(token(**claims), issuer=issuer, client_id="our-id", nonce="n", now=NOW)


MICROSOFT, GOOGLE = providers.microsoft().issuer, providers.google().issuer
OF_TENANT = {"iss": f"https://login.microsoftonline.com/{TENANT}/v2.0", "tid": TENANT}


def test_the_token_of_any_tenant_names_its_person() -> None:
    assert named(MICROSOFT, **OF_TENANT, preferred_username="Ann@Contoso.example") == ["ann@contoso.example"]
    assert named(MICROSOFT, **OF_TENANT, email="a@x.example", upn="u@x.example") == ["a@x.example", "u@x.example"]
    for issuer in ("https://accounts.google.com", "accounts.google.com"):
        assert named(GOOGLE, iss=issuer, email="ann@gmail.example") == ["ann@gmail.example"]
    assert named(GOOGLE, iss=GOOGLE, email="ann@gmail.example", email_verified=False) == []


@pytest.mark.parametrize(
    ("claims", "names"),
    [
        ({"email": " Ann@Gmail.Example "}, ["ann@gmail.example"]),
        ({"email": "ann+tag@gmail.example"}, ["ann+tag@gmail.example"]),  # another address than ann@gmail.example
        ({"email": "ann@gmail.example", "email_verified": "true"}, ["ann@gmail.example"]),
        ({"email": "ann@gmail.example", "email_verified": "False"}, []),
        ({"email": "ann\x00@gmail.example\ud800"}, ["ann\ufffd@gmail.example\ufffd"]),
        ({"email": ["ann@gmail.example"], "upn": 7, "preferred_username": "ann"}, []),
        ({"email": "ann@gmail.example", "aud": ["our-id"]}, ["ann@gmail.example"]),
        ({"email": "ann@gmail.example", "iat": NOW + 100, "nbf": NOW + 100, "exp": NOW + 200}, ["ann@gmail.example"]),
        ({"email": "ann@gmail.example", "exp": NOW - 100}, ["ann@gmail.example"]),  # two minutes that clocks differ by
    ],
)
def test_whom_a_token_names(claims: dict[str, Any], names: list[str]) -> None:
    assert named(GOOGLE, iss=GOOGLE, **claims) == names


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["our-id", "another"], "azp": "another"},
        {"aud": []},
        {"aud": None},
        {"exp": "soon"},
        {"exp": None},
        {"exp": NOW - 121},
        {"iat": NOW + 3600},
        {"nbf": NOW + 3600},
        {"nonce": None},
        {"iss": None},
        {"iss": ["https://accounts.google.com"]},
    ],
)
def test_a_token_that_is_not_whole_names_nobody(claims: dict[str, Any]) -> None:
    with pytest.raises(ProviderError):
        named(GOOGLE, **{"iss": GOOGLE, "email": "ann@gmail.example", **claims})


@pytest.mark.parametrize(
    "text", ["", "a", "a.b", "a.!!!.c", "a.e30", "a.W10.c", "a.bnVsbA.c", "a.\u00e9.c", f"a.{'W' * 9}.c"]
)
def test_what_is_no_token_is_said(text: str) -> None:
    with pytest.raises(ProviderError):
        id_token.identities(text, issuer=GOOGLE, client_id="our-id", nonce="n", now=NOW)


@pytest.mark.parametrize(
    "claims",
    [
        OF_TENANT | {"tid": "99999999-2222-3333-4444-555555555555"},
        OF_TENANT | {"tid": ""},
        {"iss": "https://login.microsoftonline.com/{tenantid}/v2.0", "tid": "{tenantid}"},
        {"iss": "https://login.microsoftonline.com/../v2.0", "tid": ".."},
        OF_TENANT | {"aud": "somebody-else"},
        OF_TENANT | {"nonce": "of another sign-in"},
        OF_TENANT | {"exp": NOW - 600},
        {"iss": "https://evil.example", "tid": TENANT},
    ],
)
def test_a_token_of_somebody_else_names_nobody(claims: dict[str, Any]) -> None:
    with pytest.raises(ProviderError):
        named(MICROSOFT, **claims, email="ann@contoso.example")
