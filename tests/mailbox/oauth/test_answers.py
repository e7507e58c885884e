"""What a provider may answer to a request for tokens, and what each answer means. No network, no tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailbox.errors import MailError, ProviderError, SignInRefused, Throttled
from mailbox.oauth import protocol, providers
from mailbox.oauth.protocol import AppRefused, GrantIsOver, Tokens

GOOD = {"access_token": "a", "refresh_token": "rotated", "token_type": "Bearer", "expires_in": 3600}
HTML = b"<!DOCTYPE html><title>400 Bad Request</title>"


def read(status: int = 200, content: Any = GOOD, **headers: str) -> Tokens:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return protocol.read_tokens(status, given, body, ["s3cret"])


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (3599, 3599),
        ("3599", 3599),
        (3599.9, 3599.9),
        (0, None),
        ("0", None),
        (-1, None),
        ("-3600", None),
        (None, None),
        ("", None),
        ("soon", None),
        ([3600], None),
        (float("nan"), None),
        (float("inf"), protocol.MAX_SECONDS),
        (10**12, protocol.MAX_SECONDS),
        (10**400, None),
        ("1" * 400, protocol.MAX_SECONDS),
    ],
)
def test_whatever_the_lifetime_says_the_tokens_are_kept(said: object, seconds: float | None) -> None:
    """A provider that rotates refresh tokens gives this one once."""
    found = read(content=GOOD | {"expires_in": said, "refresh_expires_in": said})
    assert (found.access_token, found.refresh_token) == ("a", "rotated")
    assert (found.expires_in, found.refresh_expires_in) == (seconds, seconds)
    left_out = {name: value for name, value in GOOD.items() if name != "expires_in"}
    assert read(content=left_out).expires_in is None


@pytest.mark.parametrize(
    ("said", "scope"),
    [("a b", "a b"), (["a", "b", 7], "a b"), (None, None), (7, None), ("", ""), ("a\x00\ud800", "a\ufffd\ufffd")],
)
def test_a_scope_is_kept_as_a_database_can_hold_it(said: object, scope: str | None) -> None:
    assert read(content=GOOD | {"scope": said}).scope == scope


@pytest.mark.parametrize(
    "code",
    [
        "invalid_grant",
        "Invalid_Grant",
        " INVALID_GRANT ",
        "interaction_required",
        "consent_required",
        "login_required",
        "INVALID_REFRESH_TOKEN",  # Yahoo
        "TOKEN_EXPIRED",
        "ACCOUNT_NOT_AUTHORIZED",
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_the_grant_is_over(code: str, status: int) -> None:
    with pytest.raises(GrantIsOver) as said:
        read(status, {"error": code, "error_description": "AADSTS50173: the grant\x00 s3cret expired"})
    assert isinstance(said.value, SignInRefused)
    assert "AADSTS50173" in str(said.value) and "s3cret" not in str(said.value) and "\x00" not in str(said.value)


@pytest.mark.parametrize(
    "code",
    ["invalid_client", "unauthorized_client", "deleted_client", "INVALID_CLIENT_SECRET", "INVALID_CONSUMER_KEY"],
)
@pytest.mark.parametrize("status", [200, 400, 401])
def test_the_sites_own_secret_is_no_mailboxs_fault(code: str, status: int) -> None:
    with pytest.raises(AppRefused) as said:
        read(status, {"error": code, "error_description": "AADSTS7000222: the client secret keys are expired"})
    assert not isinstance(said.value, SignInRefused)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (400, {"error": "invalid_request"}, ProviderError),
        (400, {"error": "invalid_scope"}, ProviderError),
        (400, {"error": {"code": "invalid_grant"}}, ProviderError),
        (400, {"error": ["invalid_grant"]}, ProviderError),
        (400, {}, ProviderError),
        (400, HTML, ProviderError),
        (401, HTML, ProviderError),
        (403, b"", ProviderError),
        (302, b"", ProviderError),
        (200, HTML, ProviderError),
        (200, b"null", ProviderError),
        (200, b"[" * 100_000, ProviderError),
        (200, b'"invalid_grant"', ProviderError),
        (200, {"access_token": ""}, ProviderError),
        (200, {"access_token": ["a"]}, ProviderError),
        (200, {"access_token": "a\r\nRCPT TO:<x@y>"}, ProviderError),
        (400, {"error": "temporarily_unavailable"}, Throttled),
        (200, {"error": "server_error"}, Throttled),
        (429, {"error": "invalid_grant"}, Throttled),
        (500, {"error": "invalid_grant"}, Throttled),
        (503, HTML, Throttled),
    ],
)
def test_all_the_rest_is_waited_out(status: int, content: Any, kind: type[MailError]) -> None:
    with pytest.raises(kind) as said:
        read(status, content)
    assert not isinstance(said.value, SignInRefused | AppRefused)


def test_an_error_that_is_nothing_is_none() -> None:
    for nothing in (None, "", False):
        assert read(content=GOOD | {"error": nothing}).access_token == "a"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "77"}, 77),
        ({"Retry_After": "9" * 40}, protocol.MAX_WAIT_SECONDS),
        ({"Retry_After": "Mon, 30 Nov 2026 12:01:00 GMT", "Date": "Mon, 30 Nov 2026 12:00:00 GMT"}, 60),
        ({"Retry_After": "Mon, 30 Nov 2026 11:00:00 GMT", "Date": "Mon, 30 Nov 2026 12:00:00 GMT"}, None),
        ({"Retry_After": "Mon, 30 Nov 2026 12:01:00 GMT"}, None),
        ({"Retry_After": "-5"}, None),
        ({"Retry_After": "later"}, None),
        ({}, None),
    ],
)
def test_how_long_a_provider_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    with pytest.raises(Throttled) as said:
        read(429, {}, **headers)
    assert said.value.wait_seconds == seconds


AT = "https://login.example/realms/a/.well-known/openid-configuration"
DOCUMENT = {
    "issuer": "https://login.example/realms/a",
    "authorization_endpoint": "https://login.example/auth",
    "token_endpoint": "https://login.example/token",
}


@pytest.mark.parametrize(
    ("address", "issuer"),
    [
        (AT, "https://login.example/realms/a"),
        (AT, "https://login.example/realms/a/"),
        ("https://login.example/.well-known/openid-configuration", "https://login.example"),
        ("https://login.example/.well-known/oauth-authorization-server/realms/a", "https://login.example/realms/a"),
        (
            "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration",
            "https://login.microsoftonline.com/{tenantid}/v2.0",
        ),
        ("https://login.example/our-own-place.json", "https://elsewhere.example"),
    ],
)
def test_a_discovery_document_is_that_of_its_issuer(address: str, issuer: str) -> None:
    assert providers.checked_document(DOCUMENT | {"issuer": issuer}, address)["issuer"] == issuer


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example/realms/a"},
        {"issuer": "https://login.example/realms/b"},
        {"issuer": "https://{tenantid}/realms/a"},
        {"issuer": ""},
        {"issuer": ["https://login.example/realms/a"]},
        {"authorization_endpoint": "http://login.example/auth"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://login.example/\r\nSet-Cookie: a=b"},
        {"authorization_endpoint": "https://[login.example/"},
        {"authorization_endpoint": "https:///auth"},
        {"token_endpoint": "http://login.example/token"},
        {"token_endpoint": None},
    ],
)
def test_a_document_of_another_issuer_or_without_tls_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(providers.UnusableDocument):
        providers.checked_document(DOCUMENT | changes, AT)
