"""Assembles the API: authentication, exception handlers, the schema, the URLs."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, re_path
from django.utils import timezone
from django.utils.translation import gettext
from ninja import NinjaAPI, Router
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.security import HttpBearer

from api import request_counts, tokens
from api.tokens import Caller, TokenRefused
from api.v1.accounts import accounts, aliases, autoconfig, features, folders
from api.v1.administration import alert_rules, events, operating, people, program_tokens, storage, webhooks
from api.v1.messages import attachments, exports, mail, message_actions, message_lists, stored_mail
from api.v1.outbox import bulk, drafts, outbox, policy, saved_replies, sending, suppression
from api.v1.protocol import large_bodies
from api.v1.protocol.answers import SendState
from api.v1.protocol.described import Described, EachAnswerOnce, WithoutResponses, by_route
from api.v1.protocol.errors import Changed, Conflict, NotDone
from api.v1.protocol.finishing import finished, nothing_here
from api.v1.protocol.problems import PROBLEM, STATUS_OF, challenged, problem, try_again
from api.v1.protocol.rendering import Renderer
from mailbox.db.errors import is_trouble
from mailbox.db.lock_timeout import in_words, is_locked_by_another
from mailbox.errors import StorageError
from mailbox.features import FeatureOff
from mailbox.logs import event
from mailbox.storage import out_of_reach, raw_store
from outbox.errors import ErrorCode
from people.sign_in.client_address import client_address

logger = logging.getLogger(__name__)


class TokenAuth(HttpBearer):
    """Bearer tokens only. Session cookies do not authenticate here, so requests forged by other sites (CSRF) fail."""

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        """The caller, after checking the request's parameters and size too.

        Raises TokenRefused, Refused, HttpError (415), BodyTooLarge, TooManyBodies.
        """
        caller = tokens.authenticate(token, client_address(request), timezone.now())
        request.user, request.auth = caller.token.user, caller  # type: ignore[attr-defined]
        described = api.described(request)
        if described.carries_mail:
            large_bodies.read(request)
        described.refuse_other(request)
        return caller


class Api(NinjaAPI):
    """NinjaAPI with a schema that is made once, and that says which parameters an operation takes."""

    _schemas: ClassVar[dict[str, OpenAPISchema]] = {}  # by the site's path prefix; each is made once in a process

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """The OpenAPI schema; failures have the content type of RFC 9457."""
        prefix = self.get_root_path(path_params or {}) if path_prefix is None else path_prefix
        if prefix not in self._schemas:
            self._schemas[prefix] = self._made(EachAnswerOnce(self, prefix))
        return self._schemas[prefix]

    def described(self, request: HttpRequest) -> Described:
        """The schema's description of the requested operation."""
        match = request.resolver_match
        route = f"/{match.route.partition('api/v1/')[2]}" if match else ""
        return self._by_route.get((request.method or "", route), Described())

    @functools.cached_property
    def _by_route(self) -> dict[tuple[str, str], Described]:
        return by_route(WithoutResponses(self, path_prefix=""))

    @staticmethod
    def _made(schema: OpenAPISchema) -> OpenAPISchema:
        """Set the content type of failures to that of RFC 9457; ninja states one content type for all responses."""
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
    renderer=Renderer(),
)
# bulk before outbox: else its path segment "bulk" would be taken for the pk of a mail.
for each in (
    accounts,
    autoconfig,
    aliases,
    folders,
    message_lists,
    mail,
    message_actions,
    attachments,
    operating,
    stored_mail,
    sending,
    drafts,
    saved_replies,
    bulk,
    outbox,
    suppression,
    policy,
    features,
    events,
    exports,
    people,
    program_tokens,
    webhooks,
    alert_rules,
    storage,
):
    api.add_router("", each.router)


@api.exception_handler(AuthenticationError)
def _without_token(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return challenged(problem(HTTPStatus.UNAUTHORIZED, gettext("Send a token: Authorization: Bearer prx_…")))


@api.exception_handler(TokenRefused)
def _refused(request: HttpRequest, error: TokenRefused) -> HttpResponse:
    return challenged(problem(error.status, str(error)))


@api.exception_handler(ValidationError)
def _not_as_described(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    where = ".".join(str(part) for part in first["loc"][1:] if part != "given")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}")


@api.exception_handler(HttpError)
def _malformed(request: HttpRequest, error: HttpError) -> HttpResponse:
    return problem(error.status_code, str(error))


@api.exception_handler(BadRequest)
def _impossible(request: HttpRequest, error: BadRequest) -> HttpResponse:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


@api.exception_handler(RequestDataTooBig)
def _too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    words = gettext("A request has %(number)s bytes at most.") % {"number": settings.DATA_UPLOAD_MAX_MEMORY_SIZE}
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words)


@api.exception_handler(large_bodies.BodyTooLarge)
def _mail_too_large(request: HttpRequest, error: large_bodies.BodyTooLarge) -> HttpResponse:
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))


@api.exception_handler(large_bodies.TooManyBodies)
def _too_many_bodies(request: HttpRequest, error: large_bodies.TooManyBodies) -> HttpResponse:
    return try_again(str(error))


@api.exception_handler(FeatureOff)
def _feature_off(request: HttpRequest, error: FeatureOff) -> HttpResponse:
    return problem(HTTPStatus.FORBIDDEN, str(error), ErrorCode.FEATURE_DISABLED.value)


@api.exception_handler(PermissionDenied)
def _forbidden(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
    return problem(HTTPStatus.FORBIDDEN, str(error) or gettext("The token's user may not do this."))


@api.exception_handler(Http404)
def _not_there(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(HTTPStatus.NOT_FOUND, gettext("There is no such thing that this token may see."))


@api.exception_handler(Changed)
def _changed(request: HttpRequest, error: Changed) -> HttpResponse:
    words = gettext("It is no longer as If-Match says: read it again.")
    return problem(HTTPStatus.PRECONDITION_FAILED, words)


@api.exception_handler(Conflict)
def _conflict(request: HttpRequest, error: Conflict) -> HttpResponse:
    return problem(HTTPStatus.CONFLICT, str(error))


@api.exception_handler(NotDone)
def _not_done(request: HttpRequest, error: NotDone) -> HttpResponse:
    data = SendState.of(error.response.data) if error.response.data else None
    failure = error.response.error
    code, message = (failure.code, failure.message) if failure else (ErrorCode.VALIDATION.value, "")
    return problem(STATUS_OF[ErrorCode(code)], message, code, data)


@api.exception_handler(DatabaseError)
@api.exception_handler(InterfaceError)
@api.exception_handler(StorageError)
def _away(request: HttpRequest, error: DatabaseError | StorageError) -> HttpResponse:
    """503 with Retry-After if the database or the disk is busy or unavailable; other database errors are raised."""
    if isinstance(error, StorageError):
        words = str(error)
    elif is_locked_by_another(error) or is_trouble(error):
        words = in_words(error)
    else:
        raise error
    event(logger, "storage_away", logging.ERROR, path=request.path, error=f"{type(error).__name__}: {error}"[:200])
    return try_again(words)


@api.exception_handler(raw_store.RawOutOfReach)
def _out_of_reach(request: HttpRequest, error: raw_store.RawOutOfReach) -> HttpResponse:
    out_of_reach.note(error.segment)
    return try_again(gettext("The stored mail is out of reach on this host: try again in a moment."))


def urls(*more: Router) -> tuple[list[URLPattern], str, str]:
    """The URLs of the API. `more`: routers of packages that this one may not import."""
    for router in more:
        api.add_router("", router)
    return list(_paths()), "v1", "v1"


def _paths() -> Iterator[URLPattern]:
    for pattern in api.urls[0]:
        if isinstance(pattern, URLPattern):
            # Ninja needs the pattern of its root to build URLs, but the root has no operation.
            view = nothing_here if pattern.name == "api-root" else finished(pattern.callback)
            pattern.callback = request_counts.counted(f"/api/v1/{pattern.pattern}", view)
            yield pattern
    yield re_path(r"^(?P<rest>.*)$", nothing_here, name="nothing_here")
