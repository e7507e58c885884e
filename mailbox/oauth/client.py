"""All HTTP with providers: one request, one answer, bounded in time and size, to hosts that settings allow."""

from __future__ import annotations

import json

from django.conf import settings
from django.utils.translation import gettext_noop

from mailbox.errors import NetworkError, ProviderError
from mailbox.oauth import protocol, providers
from mailbox.oauth.protocol import DeviceCode, Request, Tokens
from mailbox.oauth.providers import UnusableDocument
from mailbox.safe_http import FetchRefused, Network, OutgoingRequest, ServerResponse, exchange, is_public

SECONDS = 20.0  # for one answer, whatever the server does
MAX_BYTES = 200_000
USER_AGENT = "PRX-Email"


class AnswerLost(NetworkError):
    """The request may have reached the provider, and its answer did not reach us."""


def ask_for_tokens(request: Request, secrets: list[str]) -> Tokens:
    """Raises AnswerLost, NetworkError, and what protocol.read_tokens raises."""
    answer = _post(request)
    return protocol.read_tokens(answer.status, answer.headers, answer.content, secrets)


def ask_for_device_code(request: Request, secrets: list[str]) -> DeviceCode:
    """Raises as ask_for_tokens does."""
    answer = _post(request)
    return protocol.read_device_code(answer.status, answer.headers, answer.content, secrets)


def discover(address: str) -> dict[str, str]:
    """What is kept of a discovery document that a person typed the address of. Raises NetworkError, ProviderError."""
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
    """The outside as these settings let it be reached."""
    allowed = (lambda _address: True) if settings.OAUTH_ALLOW_PRIVATE else is_public
    return Network(is_allowed=allowed, seconds=SECONDS, any_port=True)
