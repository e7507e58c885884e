"""What was traced: in this process, or by a real collector of OTLP over HTTP for processes of their own."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from prx_email_site.monitoring import task_traces, traces

__all__ = ["collector", "spans"]
Spans = Callable[[], list[Any]]


@pytest.fixture
def spans(settings: Any) -> Iterator[Spans]:
    """What was traced since, requests first, sooner started before later."""
    exporter = InMemorySpanExporter()
    provider = traces.start(exporter)
    task_traces.connect()
    request_traces = "prx_email_site.monitoring.request_traces.RequestTracesMiddleware"
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], request_traces, *settings.MIDDLEWARE[1:]]

    def finished() -> list[Any]:
        provider.force_flush()
        return sorted(
            exporter.get_finished_spans(), key=lambda span: (span.kind is not SpanKind.SERVER, span.start_time)
        )

    yield finished
    task_traces.disconnect()
    traces.stop()
    provider.shutdown()


class Collector:
    """Takes spans by HTTP as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        owner = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.bodies.append((self.path, gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Any]:
        found = []
        for _, body in list(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    yield server
    server.server.shutdown()
    server.server.server_close()
