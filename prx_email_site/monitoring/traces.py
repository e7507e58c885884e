"""OpenTelemetry traces: of requests with the tasks that they queue, and of each mail, from its request to its bounces.

Each log event that names a row of the outbox (`mail_queued`, `send_attempt`, ...) becomes a span of that mail's trace,
whichever process logs it. The trace id is derived from the row's pk, so that no context has to be passed between
processes, and each leads to the other. A mail may be tried for days, so its trace is not that of the request, which is
its caller's (request_traces): the two have links to each other. Other events are noted on the span in which they
happen, if there is one. Spans contain ids, outcomes and codes; no addresses, no words of servers, nothing of the mail.
"""

from __future__ import annotations

import hashlib
import logging
import time
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.core.signals import request_started
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mailbox import tracing
from mailbox.logs import request_id

NAME = "prx_email_site"
TRACEPARENT = "traceparent"
ROOT = "mail_queued"  # the first event of a mail: the root span
SHOWN = (
    *("account", "outbox_id", "message_id", "number", "outcome", "hold", "phase", "error_code", "code", "written"),
    *("reports", "proven", "found", "settled", "tries", "webhook", "status"),
)
TO_SERVERS = frozenset({"send_attempt", "webhook_posted"})
_W3C = TraceContextTextMapPropagator()
_tracer: Tracer | None = None
_ids: ContextVar[tuple[int, int] | None] = ContextVar("trace_ids", default=None)
_began: ContextVar[int] = ContextVar("request_began", default=0)  # nanoseconds since 1970


def tracer() -> Tracer | None:
    """None where nothing is traced: without the setting, or without the network."""
    return _tracer


def context_of(traceparent: str) -> Context:
    """The context that a caller names; an empty one for "" and for what is no traceparent. Without its tracestate,
    which may hold any words."""
    return _W3C.extract({TRACEPARENT: traceparent}, Context())


def traceparent(outbox_id: int | None = None) -> str:
    """That of this outbox row, or of the span in which this is called; "" outside of any."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, None if outbox_id is None else _below(_ids_of(outbox_id)))
    return carrier.get(TRACEPARENT, "")


def _headers(outbox_id: int | None) -> dict[str, str]:
    """For mailbox.tracing."""
    return {TRACEPARENT: given} if (given := traceparent(outbox_id)) else {}


def trace_id_of(outbox_id: int) -> str:
    """The trace id of this outbox row: 32 hex digits, as tracing backends show them."""
    return f"{_ids_of(outbox_id)[0]:032x}"


def _ids_of(outbox_id: int) -> tuple[int, int]:
    """(trace id, id of the root span) of an outbox row, derived from its pk and this installation's domain."""
    digest = hashlib.sha256(f"{settings.MESSAGE_ID_DOMAIN}/outbox/{outbox_id}".encode()).digest()
    return int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")


def _below(ids: tuple[int, int]) -> Context:
    """The context of a mail's root span, which another process may have sent."""
    return trace.set_span_in_context(NonRecordingSpan(_root(ids)), Context())


def _root(ids: tuple[int, int]) -> SpanContext:
    return SpanContext(*ids, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class Ids(RandomIdGenerator):
    """Generates random ids, except for the root span of a mail, whose ids are derived."""

    def generate_trace_id(self) -> int:
        """The trace id of the mail whose root span is being started, else a random one."""
        chosen = _ids.get()
        return chosen[0] if chosen else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """The same for the id of the span."""
        chosen = _ids.get()
        return chosen[1] if chosen else super().generate_span_id()


class Spans(logging.Handler):
    """A logging handler that turns events about an outbox row into spans, and notes others on the present span."""

    def __init__(self, provider: TracerProvider) -> None:
        super().__init__(logging.INFO)
        self._tracer = provider.get_tracer(NAME)

    def emit(self, record: logging.LogRecord) -> None:
        """Make a span of an event with an outbox_id. Raises nothing (logging.Handler.handleError)."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        if not fields:
            return
        try:
            if fields.get("outbox_id") is None:
                trace.get_current_span().add_event(record.getMessage(), _shown(fields))
                return
            ids, end = _ids_of(fields["outbox_id"]), int(record.created * 1e9)
            if record.getMessage() == ROOT:
                self._first(ids, _shown(fields), end)
            else:
                self._further(ids, record.getMessage(), fields, end)
        except Exception:
            self.handleError(record)

    def _first(self, ids: tuple[int, int], attributes: dict[str, Any], end: int) -> None:
        """Start the root span: it lasts as long as the request that queued the mail took until then."""
        asking = trace.get_current_span()
        asking.add_link(_root(ids))
        links = [Link(asking.get_span_context())] if asking.get_span_context().is_valid else []
        chosen, start = _ids.set(ids), _began.get() or end
        try:
            span = self._tracer.start_span(ROOT, Context(), SpanKind.PRODUCER, attributes, links, start)
            span.end(end)
        finally:
            _ids.reset(chosen)

    def _further(self, ids: tuple[int, int], name: str, fields: dict[str, Any], end: int) -> None:
        kind = SpanKind.CLIENT if name in TO_SERVERS else SpanKind.INTERNAL
        start = end - int(float(fields.get("seconds") or 0) * 1e9)
        span = self._tracer.start_span(name, _below(ids), kind, _shown(fields), start_time=start)
        if fields.get("outcome") not in (None, "accepted"):
            span.set_status(Status(StatusCode.ERROR))
        if fields.get("code"):
            span.add_event("answer", {"code": fields["code"], "phase": fields["phase"]}, end)
        span.end(end)


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    shown = {key: fields[key] for key in SHOWN if isinstance(fields.get(key), str | bool | int)}
    return shown | ({"request_id": request_id.get()} if request_id.get() else {})


def _note_begin(**_: Any) -> None:
    _began.set(time.time_ns())


def exporter_to(endpoint: str) -> SpanExporter:
    """An exporter to a collector by HTTP. Headers, time-outs and certificates come from OTEL_EXPORTER_OTLP_…"""
    return OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")


def start(exporter: SpanExporter) -> TracerProvider:
    """Trace from now on, in this process and in those it forks."""
    global _tracer
    resource = Resource.create({"service.name": "prx-email-site", "service.version": settings.RELEASE})
    provider = TracerProvider(resource=resource, id_generator=Ids())
    provider.add_span_processor(BatchSpanProcessor(exporter))
    logging.getLogger().addHandler(Spans(provider))
    request_started.connect(_note_begin, dispatch_uid="prx_email_site.traces")
    tracing.set_up(_headers)
    _tracer = provider.get_tracer(NAME)
    return provider


def stop() -> None:
    """For tests."""
    global _tracer
    _tracer = None
    tracing.set_up(None)
    for handler in [each for each in logging.getLogger().handlers if isinstance(each, Spans)]:
        logging.getLogger().removeHandler(handler)
