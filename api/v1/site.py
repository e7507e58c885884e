"""The API as a whole: who is let in, how failures are answered, ETags, the schema."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.security import HttpBearer

from api import tokens
from api.tokens import Caller, TokenRefused
from api.v1 import events, mail, sending
from api.v1.answers import Failure, Problem, SendState
from api.v1.errors import NotDone
from mailbox.db.errors import is_trouble
from mailbox.db.lock_timeout import in_words, is_locked_by_another
from mailbox.errors import StorageError
from mailbox.logs import event
from mailbox.models import AuditEntry
from mailbox.storage import out_of_reach, raw_store
from outbox.errors import ErrorCode
from people.sign_in.client_address import client_address

logger = logging.getLogger(__name__)
PROBLEM = "application/problem+json"  # RFC 9457
STATUS_OF = {
    ErrorCode.VALIDATION: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.FEATURE_DISABLED: HTTPStatus.FORBIDDEN,
    ErrorCode.NETWORK: HTTPStatus.BAD_GATEWAY,
    ErrorCode.PROVIDER: HTTPStatus.BAD_GATEWAY,
    ErrorCode.STORAGE: HTTPStatus.SERVICE_UNAVAILABLE,
}
CODE_OF = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 429: "RateLimited"}


class TokenAuth(HttpBearer):
    """A session's cookie opens nothing here, so that no other site's form can ask for anything (CSRF)."""

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        caller = tokens.authenticate(token, client_address(request), timezone.now())
        request.user = caller.token.user
        return caller


class Api(NinjaAPI):
    def get_openapi_schema(self, *args: Any, **kwargs: Any) -> OpenAPISchema:
        """Ninja knows one content type for all answers: failures have that of RFC 9457."""
        schema = super().get_openapi_schema(*args, **kwargs)
        for operation in (each for methods in schema["paths"].values() for each in methods.values()):
            for status, answer in operation["responses"].items():
                if int(status) >= HTTPStatus.BAD_REQUEST and "application/json" in answer.get("content", {}):
                    answer["content"] = {PROBLEM: answer["content"]["application/json"]}
        return schema


api = Api(
    title="PRX-Email",
    version="1",
    description="Send and read mail with a token: `Authorization: Bearer prx_…`.",
    urls_namespace="v1",
    docs_url=None,
    auth=TokenAuth(),
)
api.add_router("", mail.router)
api.add_router("", sending.router)
api.add_router("", events.router)


def _problem(status: int, message: str, code: str = "", data: SendState | None = None) -> HttpResponse:
    code = code or CODE_OF.get(status, ErrorCode.VALIDATION.value)
    title, error = HTTPStatus(status).phrase, Failure(code=code, message=message)
    body = Problem(title=title, status=status, detail=message, data=data, error=error)
    return HttpResponse(body.model_dump_json(), status=status, content_type=PROBLEM)


@api.exception_handler(AuthenticationError)
def _without_token(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return _challenged(_problem(HTTPStatus.UNAUTHORIZED, gettext("Send a token: Authorization: Bearer prx_…")))


@api.exception_handler(TokenRefused)
def _refused(request: HttpRequest, error: TokenRefused) -> HttpResponse:
    return _challenged(_problem(error.status, str(error)))


def _challenged(response: HttpResponse) -> HttpResponse:
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = "60"
    return response


@api.exception_handler(ValidationError)
def _not_as_described(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    where = ".".join(str(part) for part in first["loc"][1:] if part != "given")
    return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}")


@api.exception_handler(HttpError)
def _malformed(request: HttpRequest, error: HttpError) -> HttpResponse:
    return _problem(error.status_code, str(error))


@api.exception_handler(BadRequest)
def _impossible(request: HttpRequest, error: BadRequest) -> HttpResponse:
    return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


@api.exception_handler(Http404)
def _not_there(request: HttpRequest, error: Http404) -> HttpResponse:
    return _problem(HTTPStatus.NOT_FOUND, gettext("There is no such thing that this token may see."))


@api.exception_handler(NotDone)
def _not_done(request: HttpRequest, error: NotDone) -> HttpResponse:
    data = SendState.of(error.response.data) if error.response.data else None
    failure = error.response.error
    code, message = (failure.code, failure.message) if failure else (ErrorCode.VALIDATION.value, "")
    return _problem(STATUS_OF[ErrorCode(code)], message, code, data)


@api.exception_handler(DatabaseError)
@api.exception_handler(InterfaceError)
@api.exception_handler(StorageError)
def _away(request: HttpRequest, error: DatabaseError | StorageError) -> HttpResponse:
    """A database or a disk that is busy or away is a reason to try again, said as all else here is."""
    if isinstance(error, StorageError):
        words = str(error)
    elif is_locked_by_another(error) or is_trouble(error):
        words = in_words(error)
    else:
        raise error
    event(logger, "storage_away", logging.ERROR, path=request.path, error=f"{type(error).__name__}: {error}"[:200])
    return _try_again(words)


@api.exception_handler(raw_store.RawOutOfReach)
def _out_of_reach(request: HttpRequest, error: raw_store.RawOutOfReach) -> HttpResponse:
    out_of_reach.note(error.segment)
    return _try_again(gettext("The stored mail is out of reach on this host: try again in a moment."))


def _try_again(words: str) -> HttpResponse:
    answer = _problem(HTTPStatus.SERVICE_UNAVAILABLE, words, ErrorCode.STORAGE.value)
    answer.headers["Retry-After"] = "10"
    return answer


def _finished(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """An ETag for what is read, an entry of the activity for what was changed, and no sign-in page."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response.headers["Cache-Control"] = "private, no-store"
        caller = getattr(request, "auth", None)
        if request.method == "POST" and response.status_code < HTTPStatus.BAD_REQUEST and caller:
            detail = f"{caller.token.name}: {request.path.removeprefix(settings.FORCE_SCRIPT_NAME or '')}"
            target = f"token:{caller.token.pk}"
            AuditEntry.objects.create(user=caller.token.user, verb="use_token", target=target, detail=detail)
        if request.method != "GET" or response.status_code != HTTPStatus.OK or not isinstance(response, HttpResponse):
            return response
        etag = f'"{hashlib.sha256(response.content).hexdigest()[:32]}"'
        response.headers["ETag"] = etag
        return get_conditional_response(request, etag=etag, response=response) or response

    wrapped.login_required = False  # type: ignore[attr-defined]
    return wrapped


def _paths() -> Iterator[URLPattern]:
    for pattern in api.urls[0]:
        if isinstance(pattern, URLPattern):
            pattern.callback = _finished(pattern.callback)
            yield pattern


urls = (list(_paths()), "v1", "v1")
