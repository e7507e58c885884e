"""Alerts: once for each incident, once when it is over, to whom the rules say, whoever is killed at it."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from io import StringIO
from mailbox.models import Account, Transport, WorkerHeartbeat
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from alerts import findings, incidents, notices, tasks, webhook
from alerts.models import AlertIncident, AlertNotice, AlertRule, Kind
from outbox.models import OutboxMessage
from tests.rows import NOWHERE, outbox_row, queries_of, tasks_queued
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
SECRET = "a secret of the webhook"


class Receiver:
    """A real HTTP server that keeps what was posted and answers as told."""

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
def now() -> datetime:
    moment = timezone.now()
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=1, started_at=moment, seen_at=moment + timedelta(days=30))
    return moment


def by_webhook(receiver: Receiver, **fields: Any) -> AlertRule:
    rule = AlertRule(channel="webhook", url=receiver.url, **fields)
    rule.secret = SECRET
    rule.save()
    return rule


def by_mail(sender: Account, **fields: Any) -> AlertRule:
    return AlertRule.objects.create(channel="mail", sender=sender, **({"address": "me@example.net"} | fields))


def look(at: datetime) -> None:
    incidents.look(findings.find(at), at)


def failed(account: Account, **fields: Any) -> OutboxMessage:
    return outbox_row(account, status="failed", hold="permanent", **fields)


def test_an_incident_is_told_once_and_once_more_when_it_is_over(
    account: Account, receiver: Receiver, now: datetime
) -> None:
    by_webhook(receiver)
    row = failed(account)
    for minute in range(3):
        tasks.watch(now=now + minute * MINUTE)
    assert receiver.events() == ["incident.opened"]
    OutboxMessage.objects.filter(pk=row.pk).update(status="cancelled", hold="")
    for minute in range(3, 12):
        tasks.watch(now=now + minute * MINUTE)
    assert receiver.events() == ["incident.opened", "incident.closed"]


def test_a_webhook_says_what_and_where_and_is_signed(
    account: Account, receiver: Receiver, now: datetime, settings: Any
) -> None:
    settings.BASE_URL = "https://mail.example.com"
    by_webhook(receiver)
    failed(account)
    tasks.watch(now=now)
    ((headers, body),) = receiver.asked
    told = json.loads(body)
    assert (told["kind"], told["account"]) == ("failed", account.pk)
    assert told["sentence"] == "ops@example.com: 1 mail failed for good."
    assert told["url"] == f"https://mail.example.com/outbox/?state=failed_for_good&account={account.pk}"
    stamp, _, given = headers["X-PRX-Signature"].partition(",v1=")
    signed = stamp.removeprefix("t=").encode() + b"." + body
    assert given == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


def test_the_page_that_an_alert_links_to_is_there(client: Client, account: Account, make_user: Any, now: Any) -> None:
    Transport.objects.filter(pk=account.smtp_id).update(needs_sign_in_since=now)
    failed(account)
    outbox_row(account, status="failed", hold="uncertain")
    client.force_login(make_user("administrator"))
    found = findings.find(now).found
    assert {each.kind for each in found} == {Kind.SIGN_IN, Kind.FAILED, Kind.UNCERTAIN}
    for each in found:
        assert client.get(each.path).status_code == 200, each.path


def test_what_comes_and_goes_is_one_incident(account: Account, receiver: Receiver, now: datetime) -> None:
    by_webhook(receiver)
    for minute in range(0, 30, 3):
        Transport.objects.filter(pk=account.imap_id).update(needs_sign_in_since=now)
        tasks.watch(now=now + minute * MINUTE)
        tasks.watch(now=now + (minute + 1) * MINUTE)
        Transport.objects.filter(pk=account.imap_id).update(needs_sign_in_since=None)
        tasks.watch(now=now + (minute + 2) * MINUTE)
    assert receiver.events() == ["incident.opened"]


def test_what_mends_itself_at_once_is_told_to_nobody(account: Account, receiver: Receiver, now: datetime) -> None:
    by_webhook(receiver)
    Transport.objects.filter(pk=account.imap_id).update(needs_sign_in_since=now)
    tasks.watch(now=now)
    Transport.objects.filter(pk=account.imap_id).update(needs_sign_in_since=None)
    for minute in range(1, 12):
        tasks.watch(now=now + minute * MINUTE)
    assert receiver.asked == []
    assert not AlertIncident.objects.open().exists()


def test_more_of_the_same_is_told_again_after_an_hour(account: Account, receiver: Receiver, now: datetime) -> None:
    by_webhook(receiver)
    failed(account)
    tasks.watch(now=now)
    failed(account)
    tasks.watch(now=now + 10 * MINUTE)
    assert receiver.events() == ["incident.opened"]
    tasks.watch(now=now + 61 * MINUTE)
    assert receiver.events() == ["incident.opened", "incident.opened"]
    assert "2 mails failed" in json.loads(receiver.asked[1][1])["sentence"]
    assert AlertIncident.objects.open().count() == 1


@pytest.mark.parametrize(
    ("fields", "is_told"),
    [
        ({}, True),
        ({"kinds": ["failed"]}, True),
        ({"kinds": ["sign_in", "bounce"]}, False),
        ({"is_on": False}, False),
        ({"account": "its own"}, True),
        ({"account": "another"}, False),
    ],
)
def test_rules_say_who_hears_of_what(
    account: Account, make_account: Any, receiver: Receiver, now: datetime, fields: dict[str, Any], is_told: bool
) -> None:
    if "account" in fields:
        other = make_account("other@example.com", **NOWHERE, sync_enabled=False)
        fields = {"account": account if fields["account"] == "its own" else other}
    by_webhook(receiver, **fields)
    failed(account)
    tasks.watch(now=now)
    assert bool(receiver.asked) is is_told


def test_two_rules_for_one_destination_tell_once(account: Account, receiver: Receiver, now: datetime) -> None:
    by_webhook(receiver)
    by_webhook(receiver, kinds=["failed"])
    failed(account)
    tasks.watch(now=now)
    assert len(receiver.asked) == 1


def test_a_mail_goes_through_the_outbox_once_however_often_it_is_tried(account: Account, now: datetime) -> None:
    by_mail(account)
    failed(account)
    tasks.watch(now=now)
    # Killed between the outbox's commit and ours: the notice is still waiting, and is tried again.
    AlertNotice.objects.update(state="waiting", next_try_at=now)
    tasks.watch(now=now + MINUTE)
    mail = OutboxMessage.objects.get(idempotency_key__startswith="alert:")
    assert (mail.to, mail.subject) == ("me@example.net", "PRX-Email: ops@example.com: 1 mail failed for good.")
    assert AlertNotice.objects.get().state == "sent"


def test_a_user_is_mailed_at_the_address_of_then(account: Account, make_user: Any, now: datetime) -> None:
    user = make_user("viewer")
    by_mail(account, address="", user=user)
    User.objects.filter(pk=user.pk).update(email="new@example.net")
    failed(account)
    tasks.watch(now=now)
    assert OutboxMessage.objects.get(idempotency_key__startswith="alert:").to == "new@example.net"


def test_an_alert_mail_that_fails_makes_no_alert_by_mail(account: Account, receiver: Receiver, now: datetime) -> None:
    by_mail(account)
    failed(account)
    tasks.watch(now=now)
    mails = OutboxMessage.objects.filter(idempotency_key__startswith="alert:")
    mails.update(status="failed", hold="permanent")
    by_webhook(receiver)
    for hour in range(5):
        tasks.watch(now=now + timedelta(hours=hour))
    assert mails.count() == 1
    assert [json.loads(body)["kind"] for _headers, body in receiver.asked] == ["alert_mail"]


def test_the_account_that_cannot_send_is_not_asked_to_say_so(account: Account, now: datetime) -> None:
    by_mail(account)
    Transport.objects.filter(pk=account.smtp_id).update(needs_sign_in_since=now)
    for minute in range(3):
        tasks.watch(now=now + minute * MINUTE)
    notice = AlertNotice.objects.get()
    assert (notice.state, OutboxMessage.objects.count()) == ("failed", 0)
    assert "is the one that cannot send" in notice.result


def test_a_webhook_that_fails_is_tried_later_and_given_up_in_the_end(
    account: Account, receiver: Receiver, now: datetime
) -> None:
    by_webhook(receiver)
    receiver.status = 500
    failed(account)
    look(now)
    for tries in range(1, 7):
        at = AlertNotice.objects.get().next_try_at
        notices.send_due(at - timedelta(seconds=1))
        assert len(receiver.asked) == tries - 1
        notices.send_due(at)
        assert len(receiver.asked) == tries
    assert AlertNotice.objects.get().state == "failed"
    assert {headers["X-PRX-Delivery"] for headers, _body in receiver.asked} == {str(AlertNotice.objects.get().pk)}


def test_that_it_is_over_is_not_told_before_that_it_began(account: Account, receiver: Receiver, now: datetime) -> None:
    by_webhook(receiver)
    receiver.status = 503
    row = failed(account)
    tasks.watch(now=now)
    OutboxMessage.objects.filter(pk=row.pk).update(status="cancelled", hold="")
    look(now + MINUTE)
    look(now + 10 * MINUTE)
    AlertNotice.objects.filter(phase="begin").update(next_try_at=now + timedelta(hours=1))
    notices.send_due(now + 11 * MINUTE)
    assert receiver.events() == ["incident.opened"]
    receiver.status = 200
    for _ in range(2):
        notices.send_due(now + timedelta(hours=2))
    assert receiver.events() == ["incident.opened", "incident.opened", "incident.closed"]


def test_who_looks_while_another_posts_does_not_post_it_too(
    account: Account, receiver: Receiver, now: datetime
) -> None:
    """The claim is taken before the request: what comes in meanwhile finds nothing due."""
    by_webhook(receiver)
    failed(account)
    look(now)
    pk = AlertNotice.objects.get().pk
    assert AlertNotice.objects.claim(pk, now, now + notices.CLAIMED)
    assert notices.send_due(now + MINUTE) == 0
    assert not AlertNotice.objects.claim(pk, now + MINUTE, now + notices.CLAIMED)
    # Whoever claimed it was killed: it is told when the claim has run out, once.
    assert notices.send_due(now + notices.CLAIMED) == 1
    assert notices.send_due(now + 2 * notices.CLAIMED) == 0
    assert len(receiver.asked) == 1


def test_two_who_open_the_same_incident_make_one(account: Account, receiver: Receiver, now: datetime) -> None:
    by_webhook(receiver)
    failed(account)
    found = findings.find(now)
    incidents._open(list(found.found), now)
    incidents._open(list(found.found), now)
    row = AlertIncident.objects.get()
    incidents._tell(row, list(AlertRule.objects.all()), now)
    incidents._tell(row, list(AlertRule.objects.all()), now)
    assert AlertNotice.objects.count() == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/", "Only https"),
        ("file:///etc/passwd", "Only https"),
        ("https://user:secret@example.com/", "no user name"),
        ("https://127.0.0.1/", "public Internet"),
        ("https://[::1]/", "public Internet"),
        ("https://10.1.2.3:8443/", "public Internet"),
        ("https://169.254.169.254/latest/", "public Internet"),
        ("https://[64:ff9b::7f00:1]/", "public Internet"),
        ("https://example.com/ x", "no web address"),
        ("https://example.com:99999/", "no web address"),
    ],
)
def test_what_a_webhook_may_not_reach(url: str, words: str) -> None:
    with pytest.raises(webhook.WebhookFailed, match=words) as refused:
        webhook.post(url, b"{}", SECRET, "1")
    assert refused.value.is_final


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.status, receiver.location = 302, receiver.url
    with pytest.raises(webhook.WebhookFailed, match="redirects are not followed"):
        webhook.post(receiver.url, b"{}", SECRET, "1")
    assert len(receiver.asked) == 1


def test_folders_are_not_called_behind_when_no_worker_runs(make_account: Any) -> None:
    account = make_account("late@example.com", **NOWHERE)
    Account.objects.filter(pk=account.pk).update(created_at=timezone.now() - timedelta(days=3))
    found = findings.find(timezone.now())
    assert [each.kind for each in found.found] == [Kind.WORKERS]
    assert Kind.BEHIND in found.unknown


@pytest.mark.django_db(transaction=True)
def test_that_no_worker_runs_is_told_by_the_command_that_needs_none(
    make_account: Any, smtp_server: Callable[..., SmtpServer], receiver: Receiver
) -> None:
    server = smtp_server()
    given = {"smtp_host": "localhost", "smtp_port": server.port, "imap_host": "localhost", "imap_port": 1}
    sender = make_account("ops@example.com", **given, ca_certificate=server.ca_pem, sync_enabled=False)
    by_mail(sender)
    by_webhook(receiver)
    for _ in range(2):
        call_command("alerts", stdout=StringIO())
    (mail,) = server.mails()
    assert b"No worker has run" in mail.raw
    assert mail.rcpt_tos == ["me@example.net"]
    assert receiver.events() == ["incident.opened"]


@pytest.fixture
def administrator(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("administrator"))
    return client


MAIL = {"channel": "mail", "address": "me@example.net", "is_on": "on"}
HOOK = {"channel": "webhook", "url": "https://hooks.example.com/T/unspoken", "secret": SECRET, "is_on": "on"}


def test_an_administrator_adds_changes_and_deletes_an_alert(administrator: Client, account: Account) -> None:
    administrator.post("/alerts/add/", {**MAIL, "sender": account.pk, "kinds": ["failed", "bounce"]})
    rule = AlertRule.objects.get()
    assert (rule.mail_address, rule.kinds, rule.sender) == ("me@example.net", ["failed", "bounce"], account)
    administrator.post(f"/alerts/{rule.pk}/", HOOK)
    rule.refresh_from_db()
    assert (rule.channel, rule.sender, rule.address, rule.secret) == ("webhook", None, "", SECRET)
    assert SECRET not in (rule.encrypted_secret or "")
    administrator.post(f"/alerts/{rule.pk}/delete/")
    assert not AlertRule.objects.exists()


def test_a_secret_is_kept_and_never_shown_again(administrator: Client) -> None:
    administrator.post("/alerts/add/", HOOK)
    rule = AlertRule.objects.get()
    administrator.post(f"/alerts/{rule.pk}/", {**HOOK, "secret": ""})
    rule.refresh_from_db()
    assert rule.secret == SECRET
    assert SECRET not in administrator.get(f"/alerts/{rule.pk}/").content.decode()
    shown = administrator.get("/alerts/").content.decode()
    assert "hooks.example.com" in shown
    assert "unspoken" not in shown


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"channel": "mail", "address": ""}, "Choose a user or enter an address."),
        (MAIL, "Choose the account that the mail is sent from."),
        ({**HOOK, "url": ""}, "Enter the address to post to."),
        ({**HOOK, "url": "http://hooks.example.com/"}, "begins with https://"),
        ({**HOOK, "secret": "short"}, "at least 16 characters"),
        ({**HOOK, "kinds": ["weather"]}, "weather"),
    ],
)
def test_what_cannot_be_an_alert_is_said_at_the_field(administrator: Client, given: Any, words: str) -> None:
    assert words in administrator.post("/alerts/add/", given).content.decode()
    assert not AlertRule.objects.exists()


def test_a_test_is_told_by_a_worker_and_its_result_is_shown(administrator: Client, receiver: Receiver) -> None:
    rule = by_webhook(receiver)
    administrator.post(f"/alerts/{rule.pk}/test/")
    assert tasks_queued() == ["alerts.tasks.send_due"]
    tasks.send_due()
    assert receiver.events() == ["test"]
    assert "Test: The server answered 204." in administrator.get("/alerts/").content.decode()


@pytest.mark.parametrize("has_rule", [True, False])
def test_the_page_says_told_only_where_there_was_somebody_to_tell(
    administrator: Client, account: Account, receiver: Receiver, now: datetime, has_rule: bool
) -> None:
    if has_rule:
        by_webhook(receiver)
    failed(account)
    look(now)
    look(now + MINUTE)
    page = administrator.get("/alerts/").content.decode()
    assert "ops@example.com: 1 mail failed for good." in page
    assert (", told <time" in page) is has_rule


def test_the_page_costs_the_same_however_many_alerts(administrator: Client, account: Account, now: datetime) -> None:
    def add_rows() -> None:
        for number in range(5):
            rule = by_mail(account, address=f"n{number}@example.net")
            incidents.ask_for_test(rule, now)
        failed(account)
        look(now)

    add_rows()
    before, after = queries_of(administrator, "/alerts/", add_rows)
    assert before == after


def test_what_was_over_long_ago_is_forgotten(account: Account, receiver: Receiver, now: datetime) -> None:
    rule = by_webhook(receiver)
    failed(account)
    look(now)
    incidents.ask_for_test(rule, now)
    incidents.forget(now + timedelta(days=1))
    assert AlertIncident.objects.exists()  # it is open
    AlertIncident.objects.update(closed_at=now)
    incidents.forget(now + timedelta(days=1))
    assert not AlertIncident.objects.exists()
    assert not AlertNotice.objects.exists()
