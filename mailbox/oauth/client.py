"""HTTP requests to providers, each limited in time and size and sent only to hosts that the settings allow."""

from __future__ import annotations

import json

from django.conf import settings
from django.utils.translation import gettext_noop

from mailbox.errors import NetworkError, ProviderError
from mailbox.oauth import protocol, providers
from mailbox.oauth.protocol import DeviceCode, Request, Tokens
from mailbox.oauth.providers import UnusableDocument
from mailbox.safe_http import FetchRefused, Network, OutgoingRequest, ServerResponse, exchange, is_public

SECONDS = 20.0  # for the whole of one request and its answer
MAX_BYTES = 200_000
USER_AGENT = "PRX-Email"


class AnswerLost(NetworkError):
    """No answer arrived, but the provider may have received the request."""


def ask_for_tokens(request: Request, secrets: list[str]) -> Tokens:
    """Send the request and return the tokens. Raises AnswerLost, NetworkError, and as protocol.read_tokens does.

    `secrets`: texts that must not appear in errors.
    """
    answer = _post(request)
    return protocol.read_tokens(answer.status, answer.headers, answer.content, secrets)


def ask_for_device_code(request: Request, secrets: list[str]) -> DeviceCode:
    """Send the request and return the device's code. Raises as ask_for_tokens does."""
    answer = _post(request)
    return protocol.read_device_code(answer.status, answer.headers, answer.content, secrets)


def discover(address: str) -> dict[str, str]:
    """Fetch the discovery document at this address and return the members that are kept (providers.ENDPOINTS and
    `auth_method`). Raises NetworkError, ProviderError."""
    answer = _exchange(address, _wanted("GET"))
    if answer.status != 200:
        raise ProviderError(f"The server answered {answer.status} where the discovery document should be.")
    try:
        return providers.checked_document(json.loads(answer.content), address, _schemes())
    except UnusableDocument as error:
        raise ProviderError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ProviderError(gettext_noop("This address holds no discovery document (JSON).")) from error


def _post(request: Request) -> ServerResponse:
    address, headers, body = request
    return _exchange(address, _wanted("POST", headers, body.encode()))


def _wanted(method: str, headers: dict[str, str] | None = None, content: bytes | None = None) -> OutgoingRequest:
    return OutgoingRequest(
        accept="application/json",
        user_agent=USER_AGENT,
        max_bytes=MAX_BYTES,
        schemes=_schemes(),
        noun="answer",
        method=method,
        headers=headers or {},
        content=content,
    )


def _schemes() -> tuple[str, ...]:
    return ("https", "http") if settings.OAUTH_ALLOW_HTTP else ("https",)


def _exchange(address: str, wanted: OutgoingRequest) -> ServerResponse:
    try:
        return exchange(address, wanted, network())
    except FetchRefused as refused:
        words = f"The provider could not be asked: {refused}"
        raise (AnswerLost if refused.sent else NetworkError)(words) from refused


def network() -> Network:
    """The addresses that may be reached and the time limit: private ones only with OAUTH_ALLOW_PRIVATE."""
    allowed = (lambda _address: True) if settings.OAUTH_ALLOW_PRIVATE else is_public
    return Network(is_allowed=allowed, seconds=SECONDS, any_port=True)
