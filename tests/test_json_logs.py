"""Log lines as JSON: one object a line, addresses redacted, one name for all lines of a request."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from mailbox.logs import JsonFormatter, event
from mailbox.models import Account
from outbox import api
from outbox.bounces import matching as bounces_matching
from outbox.delivery import deliver
from outbox.models import DeliveryAttempt
from prx_email_site.environment import SettingError
from prx_email_site.logging_config import logging_config
from tests.api.calling import Program, mail, program
from tests.outbox.bounces.test_dsn_report import POSTFIX
from tests.rows import NOWHERE, store
from tests.servers.smtp import SmtpServer

__all__ = ["program"]


@pytest.fixture
def written() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged since, each line read as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)


def test_a_line_is_one_object_with_types_and_without_addresses(written: Callable[[], list[dict[str, Any]]]) -> None:
    fields = {
        "account": 7,
        "message_id": "<1@x.example>",
        "reply": "no\nann@example.com",
        "ok": True,
        "event": "forged",
    }
    event(logging.getLogger("t"), "sent", logging.WARNING, **fields, to=["bob@example.com"])
    try:
        raise ValueError("of ann@example.com")
    except ValueError:
        logging.getLogger("t").exception("crashed")
    first, second = written()
    assert (first["event"], first["account"], first["ok"]) == ("sent", 7, True)
    assert first["message_id"] == "<1@x.example>" and first["level"] == "WARNING"
    assert first["reply"] == "no\na***@example.com" and first["to"] == ["b***@example.com"]
    assert {"time", "host", "process", "logger"} <= first.keys() and "request_id" not in first
    assert "a***@example.com" in second["traceback"] and "ann@" not in json.dumps(second)


def test_the_form_is_chosen_by_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def formatter() -> str:
        return str(logging_config("INFO", {})["formatters"]["events"]["()"])

    assert formatter().endswith("EventFormatter")
    monkeypatch.setenv("PRX_EMAIL_LOG_FORMAT", "json")
    assert formatter().endswith("JsonFormatter")
    monkeypatch.setenv("PRX_EMAIL_LOG_FORMAT", "xml")
    with pytest.raises(SettingError, match="text or json"):
        formatter()


@pytest.mark.django_db
def test_lines_of_a_request_name_what_its_answer_names(
    client: Client, make_user: Callable[..., Any], written: Callable[[], list[dict[str, Any]]]
) -> None:
    client.force_login(make_user())
    given = client.get("/no-such-page", headers={"X-Request-ID": "abcdef-1234"})
    assert given["X-Request-ID"] == "abcdef-1234"
    named = [line["request_id"] for line in written() if "request_id" in line]
    assert named and set(named) == {"abcdef-1234"}  # Django's own "Not Found"
    forged = client.get("/no-such-page", headers={"X-Request-ID": 'a b"; x'})
    assert forged["X-Request-ID"] != 'a b"; x' and len(forged["X-Request-ID"]) == 32


@pytest.mark.django_db(transaction=True)
def test_one_mail_is_followed_from_the_api_call_to_the_servers_answer_and_its_bounce(
    program: Program,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    account = account_on(smtp_server("tls"), sent_copy="never")
    answer = program.post("/send", mail(account), **{"x-request-id": "asked-by-1234"})
    assert answer.status_code == 202, answer.content
    deliver.deliver_account(account.pk)
    tried = DeliveryAttempt.objects.get()
    report = POSTFIX.replace(b"<outbox-7-0@example.com>", tried.message_id.encode())
    bounces_matching.read_message(store(account, report.replace(b"5d1e", tried.prx_attempt.encode())).pk)
    about = {line["event"]: line for line in written() if line.get("outbox_id") == tried.outbox_id}
    assert list(about) == ["mail_queued", "send_attempt", "delivery_report"]
    assert about["mail_queued"]["request_id"] == "asked-by-1234"
    assert about["send_attempt"]["code"] == 250 and about["delivery_report"]["reports"]
    # Each attempt makes its own, so that none is known before.
    assert about["send_attempt"]["message_id"] == about["delivery_report"]["message_id"] == tried.message_id


@pytest.mark.django_db(transaction=True)
def test_a_mail_is_followed_by_its_outbox_id(
    make_account: Callable[..., Account], written: Callable[[], list[dict[str, Any]]]
) -> None:
    account = make_account("ops@example.com", **{**NOWHERE, "smtp_host": "127.0.0.1", "smtp_port": 1})
    result = api.send(account.pk, "bob@example.test", "Hello", "A text.")
    assert result.data is not None
    about = [line for line in written() if line.get("outbox_id") == result.data.outbox_id]
    assert about and all(line["account"] == account.pk for line in about)
