"""Something to tell and somebody to tell it to: incidents, rules, and a real receiver of webhooks."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import Schedule

from alerts import incidents
from alerts.models import AlertRule
from alerts.problems.find import find_problems
from mailbox.models import Account
from outbox.models import OutboxMessage
from tests.rows import NOWHERE, outbox_row, workers_keep_running

MINUTE = timedelta(minutes=1)
SECRET = "a secret of the webhook"


class Receiver:
    """A real HTTP server that keeps what was posted and answers as told: status 0 ends the connection instead."""

    def __init__(self) -> None:
        self.status, self.location = 204, ""
        self.asked: list[tuple[dict[str, str], bytes]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        owner = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.asked.append((dict(self.headers), body))
                owner.meanwhile()
                if not owner.status:
                    self.close_connection = True
                    return
                self.send_response(owner.status)
                if owner.location:
                    self.send_header("Location", owner.location)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?key=unspoken"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self) -> list[str]:
        return [json.loads(body)["event"] for _headers, body in self.asked]


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_ALLOW_HTTP = settings.WEBHOOK_ALLOW_PRIVATE = True
    server = Receiver()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    account = make_account("ops@example.com", **NOWHERE)
    Account.objects.filter(pk=account.pk).update(sync_enabled=False)  # nothing of it is behind
    return account


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The clock of these tests is their own, and its worker lives as long as they go on."""
    moment = timezone.now()
    workers_keep_running(monkeypatch)
    Schedule.objects.update(next_run=moment + timedelta(days=30))
    return moment


def by_webhook(receiver: Receiver, **fields: Any) -> AlertRule:
    rule = AlertRule(channel="webhook", url=receiver.url, **fields)
    rule.secret = SECRET
    rule.save()
    return rule


def by_mail(sender: Account, **fields: Any) -> AlertRule:
    return AlertRule.objects.create(channel="mail", sender=sender, **({"address": "me@example.net"} | fields))


def look(at: datetime) -> None:
    incidents.update(find_problems(at), at)


def failed(account: Account, **fields: Any) -> OutboxMessage:
    return outbox_row(account, status="failed", hold="permanent", **fields)
