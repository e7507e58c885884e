"""Failure responses: problem details (RFC 9457) that also have the members of an ApiResponse."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpResponse

from api.v1.protocol.answers import Failure, Problem, SendState
from outbox.errors import ErrorCode

PROBLEM = "application/problem+json"
STATUS_OF = {
    ErrorCode.VALIDATION: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.FEATURE_DISABLED: HTTPStatus.FORBIDDEN,
    ErrorCode.NETWORK: HTTPStatus.BAD_GATEWAY,
    ErrorCode.PROVIDER: HTTPStatus.BAD_GATEWAY,
    ErrorCode.STORAGE: HTTPStatus.SERVICE_UNAVAILABLE,
}
CODE_OF = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "NotAllowed",
    409: "Conflict",
    412: "Changed",
    413: "TooLarge",
    415: "WrongType",
    416: "NoSuchRange",
    429: "RateLimited",
    500: "Internal",
}


def problem(status: int, message: str, code: str = "", data: SendState | None = None) -> HttpResponse:
    """The response of a failure: `message` is its detail, `code` the error's code, by default that of the status."""
    code = code or CODE_OF.get(status, ErrorCode.VALIDATION.value)
    title, error = HTTPStatus(status).phrase, Failure(code=code, message=message)
    body = Problem(title=title, status=status, detail=message, data=data, error=error)
    return HttpResponse(body.model_dump_json(), status=status, content_type=PROBLEM)


def challenged(response: HttpResponse) -> HttpResponse:
    """Add WWW-Authenticate to a 401 response and Retry-After to a 429 response."""
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = "60"
    return response


def try_again(words: str) -> HttpResponse:
    """503 with Retry-After: 10 seconds (RFC 9110 10.2.3)."""
    answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, words, ErrorCode.STORAGE.value)
    answer.headers["Retry-After"] = "10"
    return answer
