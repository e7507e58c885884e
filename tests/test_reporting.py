"""Traces and errors that are reported elsewhere: what is in them, and that nothing is loaded where it is not set."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sentry_sdk
from django.conf import settings as present
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from opentelemetry.trace import SpanKind, StatusCode
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from mailbox import logs
from mailbox.models import Account
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from prx_email_site.environment import SettingError
from prx_email_site.monitoring import reporting, sentry, traces
from prx_email_site.settings import reporting as reporting_settings
from tests.api.calling import Program, mail, program
from tests.servers import MAILBOX_PASSWORD
from tests.servers.site import ROOT, environment
from tests.servers.smtp import Reply, SmtpServer
from tests.traced import Collector, Spans, collector, spans

__all__ = ["collector", "program", "spans"]
WORDS = "the words of a mail, for its reader alone"


@pytest.fixture
def reported() -> Iterator[list[dict[str, Any]]]:
    """The events that would have gone to Sentry."""
    kept: list[dict[str, Any]] = []

    class Kept(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            kept.extend(item.payload.json for item in envelope.items if item.payload.json)

    sentry.start("https://key@sentry.invalid/1", Kept())
    yield kept
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


@pytest.mark.django_db(transaction=True)
def test_a_mail_is_one_trace_from_the_call_to_the_answer_and_holds_nothing_of_it(
    spans: Spans,
    program: Program,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
) -> None:
    relay = smtp_server("tls")
    relay.on("DATA", Reply(f"451 4.3.0 not now, ann@example.com: {WORDS}"))
    account = account_on(relay, sent_copy="never")
    answer = program.post("/send", mail(account, subject=WORDS, body_text=WORDS), **{"x-request-id": "asked-by-1234"})
    row = OutboxMessage.objects.get()
    assert answer.status_code == 202, answer.content
    deliver.deliver_account(account.pk)
    relay.clear()
    OutboxMessage.objects.update(next_attempt_at=timezone.now())
    deliver.deliver_account(account.pk)
    assert OutboxMessage.objects.get().status == "sent"
    asked, first, refused, sent = spans()
    assert (asked.name, asked.kind, asked.parent) == ("POST /api/v1/send", SpanKind.SERVER, None)
    assert [each.context.span_id for each in asked.links] == [first.context.span_id]
    assert [each.context.span_id for each in first.links] == [asked.context.span_id]
    assert {f"{each.context.trace_id:032x}" for each in (first, refused, sent)} == {traces.trace_id_of(row.pk)}
    assert (first.name, first.parent, first.attributes["request_id"]) == ("mail_queued", None, "asked-by-1234")
    assert first.end_time > first.start_time
    for number, attempt in enumerate((refused, sent), 1):
        assert (attempt.name, attempt.attributes["number"]) == ("send_attempt", number)
        assert attempt.parent.span_id == first.context.span_id
        assert attempt.end_time > attempt.start_time >= first.start_time
    assert refused.status.status_code is StatusCode.ERROR and sent.status.status_code is StatusCode.UNSET
    assert [(each.name, each.attributes["code"]) for each in (*refused.events, *sent.events)] == [
        ("answer", 451),
        ("answer", 250),
    ]
    said = "".join(each.to_json() for each in (asked, first, refused, sent))
    assert WORDS not in said and "ann@" not in said and MAILBOX_PASSWORD not in said and program.secret not in said
    assert "not now" not in said


def test_a_collector_gets_them_by_http(collector: Collector) -> None:
    provider = traces.start(traces.exporter_to(collector.url))
    try:
        logs.event(logging.getLogger("outbox"), "delivery_report", logging.WARNING, outbox_id=7, reports=1)
        assert provider.force_flush()
    finally:
        traces.stop()
        provider.shutdown()
    ((path, _),) = collector.bodies
    (span,) = collector.spans()
    assert (path, span.name, span.trace_id.hex()) == ("/v1/traces", "delivery_report", traces.trace_id_of(7))


@pytest.mark.django_db
def test_an_error_is_reported_with_its_place_and_without_what_was_in_it(
    reported: list[dict[str, Any]], client: Client, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(request: HttpRequest) -> HttpResponse:
        body, password = WORDS, MAILBOX_PASSWORD
        raise IntegrityError(f"no row for ann@example.com\nDETAIL: Failing row contains ({body}, {password}).")

    client.raise_request_exception = False
    client.force_login(make_user())
    monkeypatch.setattr("prx_email_site.keyboard.render", lambda request, *_: fails(request))
    logging.getLogger("mailbox").error("refused %s\n%s", "bob@example.com", WORDS, extra={"fields": {"reply": WORDS}})
    answer = client.get(reverse("keyboard"), {"q": WORDS}, headers={"x-request-id": "asked-by-1234"})
    assert answer.status_code == 500
    logged, raised = reported
    assert logged["logentry"]["message"] == "refused b***@example.com" and logged["level"] == "error"
    (found,) = raised["exception"]["values"]
    assert (found["type"], found["value"]) == ("IntegrityError", "no row for a***@example.com")
    assert found["stacktrace"]["frames"][-1]["function"] == "fails"
    assert raised["tags"] == {"request_id": "asked-by-1234"} and raised["release"] == present.RELEASE
    said = json.dumps(reported)
    for hidden in (WORDS, MAILBOX_PASSWORD, "ann@", "bob@", "sessionid", "keyboard/", "vars"):
        assert hidden not in said


def test_nothing_of_it_is_imported_where_it_is_not_set_and_none_starts_without_the_network(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import django, sys; django.setup(); print([n for n in ('opentelemetry', 'sentry_sdk') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    settings.NETWORK, settings.OTLP_ENDPOINT, settings.SENTRY_DSN = False, "http://127.0.0.1:1", "https://k@h.invalid/1"
    monkeypatch.setattr(traces, "start", lambda *_: pytest.fail("a connection would leave"))
    monkeypatch.setattr(sentry, "start", lambda *_: pytest.fail("a connection would leave"))
    reporting.start()


def test_what_is_set_without_its_packages_is_refused_with_the_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting_settings, "find_spec", lambda name: None)
    monkeypatch.setenv("PRX_EMAIL_SENTRY_DSN", "https://key@sentry.invalid/1")
    with pytest.raises(SettingError, match=r"requirements-sentry\.lock"):
        reporting_settings._address("PRX_EMAIL_SENTRY_DSN", "sentry_sdk", "requirements-sentry.lock")
