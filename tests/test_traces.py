"""Traces of requests: in their caller's, with the tasks that they queue, the mails and the webhooks after them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import reverse
from django_q.conf import Conf
from opentelemetry.trace import SpanKind, StatusCode

from alerts.events import numbers, webhook_delivery
from alerts.models import Webhook
from mailbox import tracing
from mailbox.models import Account
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from prx_email_site.monitoring import traces
from tests.alerts.telling import Receiver, receiver
from tests.api.calling import Program, mail, program
from tests.mailbox.sync.synced import fill
from tests.servers.dovecot import Dovecot
from tests.servers.ports import answers, free_ports, wait_until
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer
from tests.traced import Collector, Spans, collector, spans

__all__ = ["collector", "program", "receiver", "spans"]
pytestmark = pytest.mark.django_db(transaction=True)
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"  # the example of W3C Trace Context
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
TOKEN = "a-token-that-signs-somebody-in"


def in_callers_trace(span: Any) -> bool:
    return f"{span.context.trace_id:032x}" == TRACE


def test_a_request_the_task_that_it_queues_and_what_imap_brings_are_in_the_callers_trace(
    spans: Spans, client: Client, make_user: Callable[..., User], make_account: Callable[..., Account],
    dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    account = make_account()
    fill(dovecot, account, 2)
    client.force_login(make_user("administrator"))
    monkeypatch.setattr(Conf, "SYNC", True)  # the task runs at once, by django-q2's own worker
    answer = client.post(
        f"{reverse('mailbox:account_sync', args=[account.pk])}?q={TOKEN}", headers={"traceparent": TRACEPARENT}
    )
    assert answer.status_code == 302, answer.content
    asked, task = (each for each in spans() if each.name != "mailbox.tasks.list_folders")
    assert in_callers_trace(asked) and in_callers_trace(task)
    assert (asked.name, asked.kind) == ("POST /accounts/<int:pk>/sync/", SpanKind.SERVER)
    assert (f"{asked.parent.span_id:016x}", task.parent.span_id) == (CALLER, asked.context.span_id)
    assert (task.name, task.kind) == ("mailbox.tasks.sync_account", SpanKind.CONSUMER)
    assert "sync_run" in {event.name for event in task.events}
    assert asked.attributes["http.response.status_code"] == 302
    said = "".join(each.to_json() for each in spans())
    assert TOKEN not in said and account.email not in said and "example" not in said


def test_a_mail_is_linked_to_the_request_and_its_webhook_joins_its_trace(
    spans: Spans, program: Program, receiver: Receiver, account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
) -> None:  # fmt: skip
    account = account_on(smtp_server("tls"), sent_copy="never")
    webhook = Webhook(name="crm", url=receiver.url, cursor=numbers.give(), kinds=["outbox.sent"])
    webhook.secret = webhook_delivery.new_secret()
    webhook.save()
    assert program.post("/send", mail(account), traceparent=TRACEPARENT).status_code == 202
    deliver.deliver_account(account.pk)
    assert webhook_delivery.send_all() == 1
    row = OutboxMessage.objects.get()
    asked, queued, attempt, posted = spans()
    assert in_callers_trace(asked)
    assert [link.context.trace_id for link in queued.links] == [asked.context.trace_id]
    assert {f"{each.context.trace_id:032x}" for each in (queued, attempt, posted)} == {traces.trace_id_of(row.pk)}
    assert [f"{link.context.trace_id:032x}" for link in asked.links] == [traces.trace_id_of(row.pk)]
    assert (posted.name, posted.kind, posted.attributes["outcome"]) == ("webhook_posted", SpanKind.CLIENT, "accepted")
    ((headers, _),) = receiver.asked
    given = {name.lower(): value for name, value in headers.items()}["traceparent"]
    assert given == f"00-{traces.trace_id_of(row.pk)}-{queued.context.span_id:016x}-01"
    said = "".join(each.to_json() for each in spans())
    assert "unspoken" not in said and receiver.url not in said and program.secret not in said


def test_a_span_of_a_request_tells_neither_its_path_nor_its_query_nor_what_was_raised(
    spans: Spans, client: Client, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(request: HttpRequest, *_: object) -> HttpResponse:
        raise ValueError(TOKEN)

    client.raise_request_exception = False
    client.force_login(make_user())
    monkeypatch.setattr("prx_email_site.keyboard.render", fails)
    client.get(reverse("keyboard"), {"q": TOKEN}, headers={"tracestate": f"a={TOKEN}", "traceparent": TRACEPARENT})
    client.get(f"/{TOKEN}/")
    client.generic(TOKEN.upper(), "/")
    client.get("/health/live/")
    failed, unknown, strange = spans()
    assert failed.status.status_code is StatusCode.ERROR and not failed.events
    assert (unknown.name, unknown.attributes["http.response.status_code"]) == ("GET", 404)
    assert strange.attributes["http.request.method"] == "_OTHER"
    assert TOKEN not in "".join(each.to_json() for each in spans()).lower()


@pytest.mark.parametrize(
    "given, traced, joined",
    [
        (TRACEPARENT, 1, True),
        (f"00-{TRACE}-{CALLER}-00", 0, False),  # the caller samples, and not this one
        ("00-nonsense-01", 1, False),
        (f"00-{'0' * 32}-{CALLER}-01", 1, False),
        ("", 1, False),
    ],
)
def test_the_callers_word_decides_as_the_standard_says(
    spans: Spans, client: Client, given: str, traced: int, joined: bool
) -> None:
    client.get(reverse("login"), headers={"traceparent": given})
    found = spans()
    assert len(found) == traced and [in_callers_trace(each) for each in found] == [joined] * traced


def test_nothing_is_said_outside_of_any_trace_or_where_none_is_set_up(spans: Spans) -> None:
    assert tracing.headers() == {} and list(tracing.headers(7)) == ["traceparent"]
    traces.stop()
    assert tracing.headers(7) == {}


@pytest.mark.processes
def test_web_server_and_workers_report_one_trace_to_a_collector(
    collector: Collector, program: Program, account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer],
    start_workers: Callable[..., Cluster],
) -> None:  # fmt: skip
    relay = smtp_server("tls")
    account = account_on(relay, sent_copy="never")
    reports = {
        "PRX_EMAIL_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "PRX_EMAIL_LOG_LEVEL": "INFO",
    }
    (port,) = free_ports(1)
    web = ["-m", "gunicorn", "prx_email_site.wsgi", "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
    start_workers(command=web, **reports)
    start_workers(**reports)
    wait_until(lambda: answers(port), seconds=60, what="the web server")
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/send",
        json.dumps(mail(account)).encode(),
        {
            "Authorization": f"Bearer {program.secret}",
            "Content-Type": "application/json",
            "traceparent": TRACEPARENT,
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        row = json.load(answer)["data"]["outbox_id"]

    def names(trace: str) -> set[str]:
        return {span.name for span in collector.spans() if span.trace_id.hex() == trace}

    of_the_call = {"POST /api/v1/send", "outbox.tasks.deliver"}
    wait_until(lambda: names(TRACE) >= of_the_call, seconds=60, what="the caller's trace")
    wait_until(
        lambda: names(traces.trace_id_of(row)) >= {"mail_queued", "send_attempt"}, seconds=60, what="the mail's trace"
    )
    assert len(relay.mails()) == 1
