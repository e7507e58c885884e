"""A span for each request, in the trace of its caller (traceparent, W3C Trace Context), else in one of its own.

Settings list this middleware only where traces are set up. The span has the method, the route's pattern, the status and
the request id: no path, as paths contain tokens and numbers, no query, header or address. Django's instrumentation of
OpenTelemetry notes those and was not taken.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from opentelemetry.trace import SpanKind, Status, StatusCode

from mailbox.logs import request_id
from prx_email_site.monitoring import traces

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNTRACED = ("/health/", "/metrics", settings.STATIC_URL)  # asked every few seconds by machines, or files


class RequestTracesMiddleware:
    """Makes the span. Without effect where nothing is traced, as without the network."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        tracer = traces.tracer()
        if tracer is None or request.path.startswith(UNTRACED):
            return self._get_response(request)
        method = request.method if request.method in METHODS else "_OTHER"  # a client may send any word
        caller = traces.context_of(request.headers.get("traceparent", ""))
        attributes = {"http.request.method": method, "request_id": request_id.get()}
        with tracer.start_as_current_span(
            method, caller, SpanKind.SERVER, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            response = self._get_response(request)
            span.set_attribute("http.response.status_code", response.status_code)
            if request.resolver_match:
                span.update_name(f"{method} /{request.resolver_match.route}")
                span.set_attribute("http.route", f"/{request.resolver_match.route}")
            if response.status_code >= 500:
                span.set_status(Status(StatusCode.ERROR))
            return response
