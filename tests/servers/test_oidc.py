"""The identity provider of the tests does what the tests believe of it, and Dovecot takes its tokens."""

from __future__ import annotations

import base64
import hashlib
import imaplib
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest

from tests.servers.dovecot import Dovecot
from tests.servers.oidc import OidcProvider
from tests.servers.oidc_browser import Person

VERIFIER = "v" * 64
CALLBACK = "http://localhost:1/accounts/oauth/callback/"


def authorization(oidc: OidcProvider, **more: str) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
    asked = {
        "client_id": "prx",
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": "openid offline_access mail",
        "state": "s",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "prompt": "consent",
    }
    return f"{oidc.issuer}/auth?{urllib.parse.urlencode(asked | more)}"


def token(oidc: OidcProvider, **fields: str) -> dict[str, Any]:
    given = {"client_id": "prx", "client_secret": "s3cret", **fields}
    with urllib.request.urlopen(f"{oidc.issuer}/token", urllib.parse.urlencode(given).encode(), timeout=10) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def consented(oidc: OidcProvider, name: str) -> dict[str, Any]:
    back = urllib.parse.urlsplit(Person(name).authorize(authorization(oidc)))
    code = urllib.parse.parse_qs(back.query)["code"][0]
    return token(oidc, grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=VERIFIER)


def signs_in(dovecot: Dovecot, user: str, access_token: str) -> bool:
    context = ssl.create_default_context(cadata=dovecot.ca_pem)
    words = f"user={user}\x01auth=Bearer {access_token}\x01\x01".encode()
    with imaplib.IMAP4_SSL(dovecot.host, dovecot.imap_port, ssl_context=context) as imap:
        try:
            imap.authenticate("XOAUTH2", lambda _: words)
        except imaplib.IMAP4.error:
            return False
    return True


def test_a_consent_gives_a_token_that_dovecot_takes(oidc: OidcProvider, dovecot: Dovecot, mail_user: str) -> None:
    given = consented(oidc, mail_user)
    assert {"access_token", "refresh_token", "id_token", "expires_in", "scope"} <= given.keys()
    assert signs_in(dovecot, mail_user, given["access_token"])
    assert not signs_in(dovecot, "someone.else@example.test", given["access_token"])


def test_a_refresh_token_is_good_once_when_it_rotates(oidc: OidcProvider, mail_user: str) -> None:
    first = consented(oidc, mail_user)["refresh_token"]
    second = token(oidc, grant_type="refresh_token", refresh_token=first)["refresh_token"]
    assert second != first
    with pytest.raises(urllib.error.HTTPError) as refused:
        token(oidc, grant_type="refresh_token", refresh_token=first)
    assert json.load(refused.value)["error"] == "invalid_grant"
    assert oidc.token_requests() == [200, 400]


def test_a_revoked_consent_gives_no_more_tokens(oidc: OidcProvider, mail_user: str) -> None:
    refresh = consented(oidc, mail_user)["refresh_token"]
    oidc.control(revoke=True)
    with pytest.raises(urllib.error.HTTPError) as refused:
        token(oidc, grant_type="refresh_token", refresh_token=refresh)
    assert json.load(refused.value)["error"] == "invalid_grant"


def test_a_refused_consent_comes_back_as_an_error(oidc: OidcProvider, mail_user: str) -> None:
    back = Person(mail_user, consents=False).authorize(authorization(oidc))
    assert back.startswith(CALLBACK)
    assert urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["error"] == ["access_denied"]


def test_it_fails_as_often_as_it_is_told_to(oidc: OidcProvider, mail_user: str) -> None:
    refresh = consented(oidc, mail_user)["refresh_token"]
    oidc.control(fail={"count": 1, "status": 503})
    with pytest.raises(urllib.error.HTTPError, match="503"):
        token(oidc, grant_type="refresh_token", refresh_token=refresh)
    assert token(oidc, grant_type="refresh_token", refresh_token=refresh)["access_token"]


def test_a_device_signs_in_with_a_code_that_a_person_types(
    oidc: OidcProvider, dovecot: Dovecot, mail_user: str
) -> None:
    body = urllib.parse.urlencode(
        {"client_id": "prx", "client_secret": "s3cret", "scope": "openid offline_access mail"}
    )
    with urllib.request.urlopen(f"{oidc.issuer}/device/auth", body.encode(), timeout=10) as answer:
        device = json.load(answer)
    Person(mail_user).enter_code(device["verification_uri"], device["user_code"])
    kind = "urn:ietf:params:oauth:grant-type:device_code"
    assert signs_in(dovecot, mail_user, token(oidc, grant_type=kind, device_code=device["device_code"])["access_token"])


def test_client_credentials_open_the_mailbox_they_were_granted(
    oidc: OidcProvider, dovecot: Dovecot, mail_user: str
) -> None:
    oidc.control(applicationMailbox=mail_user)
    given = token(oidc, grant_type="client_credentials", scope="mail")
    assert signs_in(dovecot, mail_user, given["access_token"])
    assert "refresh_token" not in given
