"""OpenTelemetry traces: one for each mail that is sent, from the request to delivery and bounces.

Each log event that names a row of the outbox (`mail_queued`, `send_attempt`, ...) becomes a span of that mail's trace,
whichever process logs it. The trace id is derived from the row's pk, so that no context has to be passed between
processes, and each leads to the other. Spans contain ids, outcomes and codes; no addresses, no words of servers,
nothing of the mail.
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
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from mailbox.logs import request_id

ROOT = "mail_queued"  # the first event of a mail: the root span
SHOWN = (
    *("account", "outbox_id", "message_id", "number", "outcome", "hold", "phase", "error_code", "code", "written"),
    *("reports", "proven", "found", "settled", "tries"),
)
_ids: ContextVar[tuple[int, int] | None] = ContextVar("trace_ids", default=None)
_began: ContextVar[int] = ContextVar("request_began", default=0)  # nanoseconds since 1970


def trace_id_of(outbox_id: int) -> str:
    """The trace id of this outbox row: 32 hex digits, as tracing backends show them."""
    return f"{_ids_of(outbox_id)[0]:032x}"


def _ids_of(outbox_id: int) -> tuple[int, int]:
    """(trace id, id of the root span) of an outbox row, derived from its pk and this installation's domain."""
    digest = hashlib.sha256(f"{settings.MESSAGE_ID_DOMAIN}/outbox/{outbox_id}".encode()).digest()
    return int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")


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
    """A logging handler that turns events about an outbox row into spans."""

    def __init__(self, provider: TracerProvider) -> None:
        super().__init__(logging.INFO)
        self._tracer = provider.get_tracer("prx_email_site")

    def emit(self, record: logging.LogRecord) -> None:
        """Make a span of an event with an outbox_id. Raises nothing (logging.Handler.handleError)."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        if "outbox_id" not in fields:
            return
        try:
            ids, end = _ids_of(fields["outbox_id"]), int(record.created * 1e9)
            if record.getMessage() == ROOT:
                self._first(ids, _shown(fields), end)
            else:
                self._further(ids, record.getMessage(), fields, end)
        except Exception:
            self.handleError(record)

    def _first(self, ids: tuple[int, int], attributes: dict[str, Any], end: int) -> None:
        """Start the root span: it lasts as long as the request that queued the mail took until then."""
        chosen = _ids.set(ids)
        try:
            span = self._tracer.start_span(ROOT, Context(), SpanKind.SERVER, attributes, start_time=_began.get() or end)
            span.end(end)
        finally:
            _ids.reset(chosen)

    def _further(self, ids: tuple[int, int], name: str, fields: dict[str, Any], end: int) -> None:
        first = NonRecordingSpan(SpanContext(*ids, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
        kind = SpanKind.CLIENT if name == "send_attempt" else SpanKind.INTERNAL
        start = end - int(float(fields.get("seconds") or 0) * 1e9)
        span = self._tracer.start_span(
            name, trace.set_span_in_context(first, Context()), kind, _shown(fields), start_time=start
        )
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
    resource = Resource.create({"service.name": "prx-email-site", "service.version": settings.RELEASE})
    provider = TracerProvider(resource=resource, id_generator=Ids())
    provider.add_span_processor(BatchSpanProcessor(exporter))
    logging.getLogger().addHandler(Spans(provider))
    request_started.connect(_note_begin, dispatch_uid="prx_email_site.traces")
    return provider
