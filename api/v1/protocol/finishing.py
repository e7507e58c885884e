"""The wrapper of every operation of the API."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_exempt

from api.v1.protocol import large_bodies
from api.v1.protocol.conditional import etag_of
from api.v1.protocol.problems import problem
from api.v1.protocol.uses import use_of

SAFE = ("GET", "HEAD", "OPTIONS")


def finished(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Wrap an operation: ETag and conditional GET for reads, an audit entry for changes, HEAD, no sign-in page."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        method = request.method
        if method == "HEAD":  # handled as GET; the server omits the body
            request.method = "GET"
        try:
            response = view(request, *args, **kwargs)
        finally:
            large_bodies.release(request)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response = _not_allowed(response)
        response.headers["Cache-Control"] = "private, no-store"
        if method not in SAFE and response.status_code < HTTPStatus.BAD_REQUEST:
            _note_use(request)
        answer = _with_etag(request, response) if method in SAFE else response
        request.method = method
        return answer

    wrapped.login_required = False  # type: ignore[attr-defined]
    return wrapped


def _note_use(request: HttpRequest) -> None:
    caller = getattr(request, "auth", None)
    if caller and not getattr(request, "changed_nothing", False):
        entry = use_of(request, caller)
        if entry.pk is None:  # else the operation saved it with its change
            entry.save()


def _with_etag(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if response.status_code != HTTPStatus.OK:
        return response
    if isinstance(response, HttpResponse) and "ETag" not in response.headers:
        response.headers["ETag"] = etag_of(response.content)
    etag = response.headers.get("ETag")
    found = get_conditional_response(request, etag=etag, response=response)  # type: ignore[arg-type]
    return found or response


def _not_allowed(response: HttpResponseBase) -> HttpResponse:
    answer = problem(HTTPStatus.METHOD_NOT_ALLOWED, gettext("This address is not there for this method."))
    methods = {each.strip() for each in response.headers["Allow"].split(",")}
    answer.headers["Allow"] = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
    return answer


@csrf_exempt
@login_not_required
def nothing_here(request: HttpRequest, rest: str = "", **_root: object) -> HttpResponse:
    """The 404 response for unknown URLs below /api/v1/, as problem details like all other failures."""
    return problem(HTTPStatus.NOT_FOUND, gettext("The API has no such address: see /api/v1/openapi.json."))
