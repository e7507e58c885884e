"""Tasks carry the trace of the request, or of the task, that queued them; a worker runs each in a span of it.

What the schedules queue belongs to no request and has no span. A worker runs one task after another, so there is at
most one span at a time.
"""

from __future__ import annotations

from contextvars import Token
from typing import Any

from django_q.signals import post_execute_in_worker, pre_enqueue, pre_execute
from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from prx_email_site.monitoring import traces

_running: list[tuple[Span, Token[context.Context]]] = []


def connect() -> None:
    """Follow django-q2's tasks, in this process and in those it forks."""
    for signal, receiver in _RECEIVERS:
        signal.connect(receiver)


def disconnect() -> None:
    """For tests."""
    for signal, receiver in _RECEIVERS:
        signal.disconnect(receiver)


def _carry(task: dict[str, Any], **_: Any) -> None:
    if given := traces.traceparent():
        task[traces.TRACEPARENT] = given


def _begin(task: dict[str, Any], **_: Any) -> None:
    given, tracer = task.get(traces.TRACEPARENT), traces.tracer()
    if given and tracer is not None:
        name = str(task["func"])
        span = tracer.start_span(name, traces.context_of(given), SpanKind.CONSUMER, {"task": name})
        _running.append((span, context.attach(trace.set_span_in_context(span))))


def _end(task: dict[str, Any], **_: Any) -> None:
    while _running:
        span, token = _running.pop()
        context.detach(token)
        if task.get("success") is False:
            span.set_status(Status(StatusCode.ERROR))
        span.end()


_RECEIVERS = ((pre_enqueue, _carry), (pre_execute, _begin), (post_execute_in_worker, _end))
