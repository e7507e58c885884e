"""Writes the requests to a provider and reads its answers. Pure: data in, data out; Authlib writes the requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7523.assertion import sign_jwt_bearer_assertion
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from django.utils.translation import gettext_noop

from mailbox.errors import ProviderError, SignInRefused, Throttled, without_secrets
from mailbox.mime.charsets.decoding import storable
from mailbox.oauth.providers import Provider

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
MAX_TOKEN = 16_000  # characters; Microsoft's have up to 5,000
MAX_SECONDS = 400 * 86_400
MAX_WAIT_SECONDS = 3_600.0

# Error codes that end the grant (RFC 6749 5.2; OpenID Connect Core 3.1.2.6): a person must consent again. The second
# line has Yahoo's own codes (Yahoo, "OAuth 2.0 Errors"), which it writes in capitals.
GRANT_IS_OVER = frozenset({"invalid_grant", "interaction_required", "consent_required", "login_required"})
GRANT_IS_OVER |= {"invalid_refresh_token", "token_expired", "account_not_authorized"}
# Error codes for the site's own client id and secret: unknown, or no longer accepted. The mailboxes are not the cause.
# The second line has codes of Google and Yahoo.
APP_IS_REFUSED = frozenset({"invalid_client", "unauthorized_client"})
APP_IS_REFUSED |= {"deleted_client", "disabled_client", "invalid_client_secret", "invalid_consumer_key"}
ASKS_TO_WAIT = frozenset({"temporarily_unavailable", "server_error", "slow_down", "authorization_pending"})


@dataclass(frozen=True)
class ClientId:
    """The site's client id and secret at a provider.

    For a service account: `private_key` is its key (PEM), and `client_id` its e-mail address.
    """

    client_id: str
    client_secret: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Tokens:
    """The tokens of a provider's answer. Lifetimes are seconds from now; None where the provider states none."""

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_in: float | None = None
    refresh_expires_in: float | None = None
    scope: str | None = None
    id_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class DeviceCode:
    """A device authorization response (RFC 8628, 3.2); `expires_in` and `interval` in seconds."""

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    expires_in: float
    interval: float


class GrantIsOver(SignInRefused):
    """The provider ended the grant: the person must consent again."""


class AppRefused(ProviderError):
    """The provider refuses the site's own client id or secret: an administrator must renew it.

    The accounts' grants stay valid: nobody has to sign in to a mailbox again.
    """

    SENTENCE = gettext_noop("The provider refuses this site's own client id or secret")


class StillPending(Throttled):
    """The person has not typed the device's code yet."""


Request = tuple[str, dict[str, str], str]  # address, headers, body


def authorization_address(
    provider: Provider, client_id: str, *, callback: str, state: str, nonce: str, verifier: str, login_hint: str
) -> str:
    """The URL that the browser is sent to (RFC 6749 4.1.1, RFC 7636 4.3, OpenID Connect Core 3.1.2.1)."""
    more: dict[str, Any] = {
        **provider.authorization_fields,
        "nonce": nonce,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
        "login_hint": login_hint or None,
    }
    address: str = prepare_grant_uri(
        provider.authorization_endpoint, client_id, "code", callback, provider.scopes, state, **more
    )
    return address


def _request(provider: Provider, client: ClientId, grant_type: str, **fields: str) -> Request:
    method = provider.auth_method if client.client_secret else "none"
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    body = prepare_token_request(grant_type, **fields)
    address, headers, body = ClientAuth(client.client_id, client.client_secret, method).prepare(
        "POST", provider.token_endpoint, headers, body
    )
    return address, headers, body


def code_request(provider: Provider, client: ClientId, *, code: str, callback: str, verifier: str) -> Request:
    """The request that exchanges an authorization code for tokens (RFC 6749, 4.1.3; RFC 7636, 4.5)."""
    return _request(provider, client, "authorization_code", code=code, redirect_uri=callback, code_verifier=verifier)


def refresh_request(provider: Provider, client: ClientId, refresh_token: str) -> Request:
    """The request for a new access token by a refresh token (RFC 6749, 6)."""
    return _request(provider, client, "refresh_token", refresh_token=refresh_token)


def client_credentials_request(provider: Provider, client: ClientId) -> Request:
    """The request for an access token of the site itself, without a person (RFC 6749, 4.4.2)."""
    return _request(provider, client, "client_credentials", scope=provider.application_scopes)


def device_request(provider: Provider, client: ClientId) -> Request:
    """The request for a code that a person types on another device (RFC 8628, 3.1)."""
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    method = provider.auth_method if client.client_secret else "none"
    body = prepare_token_request("", scope=provider.scopes).removeprefix("grant_type=&")
    address, headers, body = ClientAuth(client.client_id, client.client_secret, method).prepare(
        "POST", provider.device_authorization_endpoint, headers, body
    )
    return address, headers, body


def device_token_request(provider: Provider, client: ClientId, device_code: str) -> Request:
    """The request that asks whether the person has typed the device's code (RFC 8628, 3.4)."""
    return _request(provider, client, DEVICE_CODE, device_code=device_code)


def service_account_request(provider: Provider, client: ClientId, mailbox: str) -> Request:
    """The request of a service account on behalf of a mailbox (RFC 7523, 2.1; Google, "domain-wide delegation")."""
    assertion: str = sign_jwt_bearer_assertion(
        key=client.private_key,
        issuer=client.client_id,
        audience=provider.token_endpoint,
        subject=mailbox,
        claims={"scope": provider.application_scopes},
        alg="RS256",
    )
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    return provider.token_endpoint, headers, prepare_token_request(JWT_BEARER, assertion=assertion)


# --- Answers --------------------------------------------------------------------------------------------------


def read_tokens(status: int, headers: Mapping[str, str], content: bytes, secrets: list[str]) -> Tokens:
    """The tokens of an answer. Raises GrantIsOver, AppRefused, or another MailError, which means "ask again later".

    `secrets` are removed from the words of the error, since providers repeat what they were sent.
    """
    answer = _answer(status, headers, content, secrets)
    access = answer.get("access_token")
    if not isinstance(access, str) or not access or len(access) > MAX_TOKEN or not _is_one_line(access):
        raise ProviderError(gettext_noop("The provider's answer holds no access token."))
    refresh = answer.get("refresh_token")
    return Tokens(
        access_token=access,
        refresh_token=refresh if isinstance(refresh, str) and len(refresh) <= MAX_TOKEN else "",
        expires_in=seconds_of(answer.get("expires_in")),
        # Not in the RFC: the names that Keycloak and Microsoft's national clouds use.
        refresh_expires_in=seconds_of(answer.get("refresh_expires_in") or answer.get("refresh_token_expires_in")),
        scope=_scope_of(answer.get("scope")),
        id_token=answer["id_token"] if isinstance(answer.get("id_token"), str) else "",
    )


def read_device_code(status: int, headers: Mapping[str, str], content: bytes, secrets: list[str]) -> DeviceCode:
    """The device authorization response of an answer. Raises as read_tokens does."""
    answer = _answer(status, headers, content, secrets)
    names = ("device_code", "user_code")
    address = answer.get("verification_uri") or answer.get("verification_url")  # Google's name for it
    if not all(isinstance(answer.get(name), str) for name in names) or not isinstance(address, str):
        raise ProviderError(gettext_noop("The provider's answer holds no code for a device."))
    lasts, interval = seconds_of(answer.get("expires_in")), seconds_of(answer.get("interval"))
    return DeviceCode(answer["device_code"], answer["user_code"], address, lasts or 600, interval or 5)


def _answer(status: int, headers: Mapping[str, str], content: bytes, secrets: list[str]) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if status == 200 and isinstance(answer, dict) and not answer.get("error"):
        return answer
    said, code = (_words(answer), answer.get("error")) if isinstance(answer, dict) else ("", None)
    words = without_secrets(said, secrets) or f"HTTP {status}"
    if status == 429 or status >= 500:
        wait = _retry_after(headers)
        raise Throttled(f"The provider asks to wait: {words}", reply=words, wait_seconds=wait)
    raise _refusal(code.strip().lower() if isinstance(code, str) else "", words)


def _refusal(code: str, words: str) -> Exception:
    if code in GRANT_IS_OVER:
        return GrantIsOver(f"The provider ended the sign-in: {words}", reply=words)
    if code in APP_IS_REFUSED:
        return AppRefused(f"{AppRefused.SENTENCE}: {words}", reply=words)
    if code in ("authorization_pending", "slow_down"):
        return StillPending(words, reply=words, wait_seconds=5.0 if code == "slow_down" else None)
    if code in ASKS_TO_WAIT:
        return Throttled(f"The provider asks to wait: {words}", reply=words)
    return ProviderError(f"The provider refused: {words}", reply=words)


def _words(answer: Mapping[str, Any]) -> str:
    parts = [str(answer[name]) for name in ("error", "error_description") if answer.get(name)]
    return storable(" ".join(": ".join(parts).split())[:500])


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds (RFC 9110, 10.2.3), at most an hour; None where it is missing or makes no sense.

    A date is compared with the answer's own Date header, as our clock and the provider's may differ.
    """
    given = (headers.get("Retry-After") or "").strip()
    if given.isascii() and given.isdigit():
        return min(float(given[:8]), MAX_WAIT_SECONDS)
    try:
        wait = (parsedate_to_datetime(given) - parsedate_to_datetime(headers.get("Date") or "")).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(wait, MAX_WAIT_SECONDS) if wait > 0 else None


def seconds_of(given: object) -> float | None:
    """A lifetime in seconds, at most MAX_SECONDS; None when it is missing or makes no sense.

    Microsoft's older endpoints write it as a string.
    """
    try:
        seconds = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):  # OverflowError: a thousand digits. The tokens are usable anyway.
        return None
    return min(seconds, MAX_SECONDS) if seconds > 0 else None


def _scope_of(given: object) -> str | None:
    """The granted scopes, separated by spaces (RFC 6749, 3.3); some providers write a list. None when not stated."""
    words = given if isinstance(given, list) else [given]
    found = " ".join(each for each in words if isinstance(each, str))
    return storable(found[:2000]) if isinstance(given, str | list) else None


def _is_one_line(token: str) -> bool:
    """Whether the token is printable ASCII without spaces (RFC 6750, 2.1).

    It is sent within a command to the mail server, where a line break would begin another command.
    """
    return token.isascii() and token.isprintable() and " " not in token


def missing_scopes(provider: Provider, granted: str | None) -> list[str]:
    """The needed scopes that were not granted. `granted` None means: all that were asked for (RFC 6749, 5.1)."""
    if granted is None:
        return []
    have = {each.rstrip("/").lower() for each in granted.split()}
    return [each for each in provider.needed_scopes if each.rstrip("/").lower() not in have]
