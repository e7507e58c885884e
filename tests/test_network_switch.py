"""PRX_EMAIL_NETWORK=0: no connection leaves, whoever would open one; what is asked for waits; every page says so."""

from __future__ import annotations

import ast
import socket
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from requests import RequestException

from alerts import http_post
from alerts.events import webhook_delivery
from alerts.models import Webhook
from mailbox import network, public_hosts, safe_http
from mailbox.autoconfig.dns import Dns, DnsFailed
from mailbox.autoconfig.probe import probe
from mailbox.models import Account, ConnectionTest, SyncRun
from mailbox.push import listener
from mailbox.tasks import oauth as oauth_tasks
from mailbox.tasks import sync as sync_tasks
from outbox import api as outbox_api
from outbox import connection_test
from outbox.models import DeliveryAttempt, OutboxMessage
from outbox.tasks import delivery as delivery_tasks
from outbox.tasks import sent_folder as sent_folder_tasks
from people.single_sign_on.decisions import SocialAdapter
from tests.read_sources import MODULES, tree
from tests.rows import NOWHERE, folder_of, outbox_row

# Calls that open a connection to another's server or ask its name, by their last name.
OPENERS = {"create_connection", "getaddrinfo", "gethostbyname", "open_connection", "urlopen", "Resolver", "IMAPClient"}
OPENERS |= {"IMAP4", "IMAP4_SSL", "SMTP", "SMTP_SSL", "Session", "HTTPSConnection", "sock_connect", "connect_ex"}
# Those that are no connections to others, each with its reason.
NO_OTHERS = {
    "mailbox.imap.session": "IMAPClient by mailbox.imap.transport, which asks public_hosts",
    "mailbox.imap.opening": "likewise",
}


@pytest.fixture
def off(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The switch at 0; the addresses that a socket was connected to all the same, or that were asked for by name."""
    settings.NETWORK = False
    tried: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda *given, **_: tried.append(given))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: tried.append(given) or [])
    return tried


def opens(module: str) -> bool:
    calls = [each.func for each in ast.walk(tree(module)) if isinstance(each, ast.Call)]
    names = {each.attr for each in calls if isinstance(each, ast.Attribute)}
    names |= {each.id for each in calls if isinstance(each, ast.Name)}
    return bool(names & OPENERS)


def test_every_module_that_opens_a_connection_asks_the_switch() -> None:
    opening = {module for module in MODULES if opens(module)}
    asking = {module for module in MODULES if "network" in MODULES[module].read_text() and _asks(module)}
    assert {"mailbox.public_hosts", "mailbox.safe_http"} <= opening
    assert sorted(opening - asking - NO_OTHERS.keys()) == []


def _asks(module: str) -> bool:
    text = MODULES[module].read_text()
    return any(each in text for each in ("network.demand()", "network.is_off()", "network_switch.is_off()"))


def test_each_of_them_refuses_in_words_before_it_asks_a_name(off: list[Any], settings: Any) -> None:
    settings.WEBHOOK_ALLOW_HTTP = settings.WEBHOOK_ALLOW_PRIVATE = True
    candidate: Any = type("Candidate", (), {"host": "192.0.2.1", "port": 993, "security": "tls", "kind": "imap"})
    for open_one, error in (
        (lambda: public_hosts.connect("192.0.2.1", 25, 1, public_only=False), network.NetworkOff),
        (lambda: safe_http.resolve("example.com", 443), safe_http.FetchRefused),
        (lambda: http_post.post("http://192.0.2.1/", b"{}", {}), http_post.WebhookFailed),
        (lambda: Dns().mx("example.com"), DnsFailed),
        (lambda: probe(candidate, safe_http.Network(), lambda port: port), safe_http.FetchRefused),
        (lambda: SocialAdapter().get_requests_session(), RequestException),
    ):
        with pytest.raises(error, match="PRX_EMAIL_NETWORK is 0"):
            open_one()
    assert off == []


@pytest.mark.django_db
def test_workers_leave_everything_as_it_is(off: list[Any], make_account: Callable[..., Account]) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    folder_of(account)
    row = outbox_row(account)
    Webhook.objects.create(name="crm", url="https://192.0.2.1/", encrypted_secret="x")
    before = OutboxMessage.objects.values().get(pk=row.pk)
    sync_tasks.sync_tick()
    sync_tasks.sync_account(account.pk, None)
    sync_tasks.sync_pushed(account.pk)
    sync_tasks.list_folders(account.pk)
    oauth_tasks.oauth_keep()
    sent_folder_tasks.copy_to_sent(account.pk)
    assert delivery_tasks.deliver() == {"attempted": 0, "sent": 0}
    delivery_tasks.sweep()
    assert webhook_delivery.send_all() == 0
    assert listener.wanted() == []
    assert OutboxMessage.objects.values().get(pk=row.pk) == before
    assert not DeliveryAttempt.objects.exists()
    assert not SyncRun.objects.exists()
    account.refresh_from_db()
    assert (account.imap.failure_count, account.smtp.failure_count, off) == (0, 0, [])


@pytest.mark.django_db
def test_sending_in_the_foreground_is_refused_and_the_mail_is_kept(
    off: list[Any], make_account: Callable[..., Account]
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    answer = outbox_api.send(account.pk, "ann@example.com", "Hi", "Dear Ann")
    assert (answer.error.code if answer.error else "", answer.data.status if answer.data else "") == (
        "FeatureDisabled",
        "pending",
    )
    row = outbox_row(account, status="failed", hold="permanent", next_attempt_at=timezone.now())
    again = outbox_api.retry_outbox(row.pk)
    assert again.error is not None
    assert "PRX_EMAIL_NETWORK" in again.error.message
    with pytest.raises((CommandError, SystemExit)):
        call_command("sync", account.email)
    assert off == []


@pytest.mark.django_db
def test_a_test_of_the_connection_says_why_and_blames_no_server(
    off: list[Any], make_account: Callable[..., Account]
) -> None:
    test = ConnectionTest.objects.create(account=make_account("ops@example.com", **NOWHERE))
    connection_test.run(test.pk)
    test.refresh_from_db()
    assert (test.imap_ok, test.smtp_ok, off) == (False, False, [])
    assert "PRX_EMAIL_NETWORK is 0" in test.imap_reply
    assert "PRX_EMAIL_NETWORK is 0" in test.smtp_reply


@pytest.mark.pages
@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/outbox/", "/accounts/", "/admin/", "/api/"])
def test_every_page_says_so(path: str, settings: Any, client: Client, make_user: Callable[..., User]) -> None:
    user = make_user("administrator")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    client.force_login(User.objects.get(pk=user.pk))
    assert "PRX_EMAIL_NETWORK is 0" not in client.get(path).content.decode()
    settings.NETWORK = False
    assert "PRX_EMAIL_NETWORK is 0" in client.get(path).content.decode()
    assert "PRX_EMAIL_NETWORK is 0" in Client().get("/login/").content.decode()
