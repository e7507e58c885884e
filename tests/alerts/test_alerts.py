"""Alerts: once for each incident, once when it is over, to whom the rules say."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from alerts import incidents, tasks
from alerts.models import AlertIncident, AlertNotice, AlertRule, Kind
from alerts.problems import expiries, find
from alerts.problems.find import find_problems
from mailbox.models import Account, Transport
from outbox.models import OutboxMessage
from prx_email_site.monitoring import system_status
from tests.alerts.telling import MINUTE, Receiver, account, by_mail, by_webhook, failed, look, now, receiver
from tests.rows import NOWHERE, outbox_row
from tests.servers.smtp import SmtpServer

__all__ = ["account", "now", "receiver"]
pytestmark = pytest.mark.django_db


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


def test_the_page_that_an_alert_links_to_is_there(client: Client, account: Account, make_user: Any, now: Any) -> None:
    Transport.objects.filter(pk=account.smtp_id).update(needs_sign_in_since=now)
    failed(account)
    outbox_row(account, status="failed", hold="uncertain")
    client.force_login(make_user("administrator"))
    found = find_problems(now).found
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


def test_what_cannot_be_searched_keeps_nothing_else_from_being_told(
    account: Account, receiver: Receiver, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault of ours")

    by_webhook(receiver)
    row = failed(account)
    tasks.watch(now=now)
    monkeypatch.setattr(expiries, "find", fail)
    monkeypatch.setattr(find, "_providers", fail)
    OutboxMessage.objects.filter(pk=failed(account).pk).update(hold="uncertain")
    with pytest.raises(ValueError, match="a fault of ours"):  # so that the task counts as failed
        tasks.watch(now=now + MINUTE)
    assert receiver.events() == ["incident.opened"] * 2
    OutboxMessage.objects.filter(pk=row.pk).delete()
    for minute in (2, 10, 20):
        with pytest.raises(ValueError):
            tasks.watch(now=now + minute * MINUTE)
    assert AlertIncident.objects.open().count() == 2, "who knows"
    with pytest.raises(ValueError):
        system_status.needs(now)
    monkeypatch.setattr(incidents, "update", fail)
    AlertNotice.objects.update(state="waiting")
    with pytest.raises(ValueError):
        tasks.watch(now=now + 30 * MINUTE)
    assert len(receiver.events()) == 4


def test_two_who_open_the_same_incident_make_one(account: Account, receiver: Receiver, now: datetime) -> None:
    by_webhook(receiver)
    failed(account)
    found = find_problems(now)
    incidents._open(list(found.found), now)
    incidents._open(list(found.found), now)
    row = AlertIncident.objects.get()
    incidents._tell(row, list(AlertRule.objects.all()), now)
    incidents._tell(row, list(AlertRule.objects.all()), now)
    assert AlertNotice.objects.count() == 1


def test_folders_are_not_called_behind_when_no_worker_runs(make_account: Any) -> None:
    account = make_account("late@example.com", **NOWHERE)
    Account.objects.filter(pk=account.pk).update(created_at=timezone.now() - timedelta(days=3))
    found = find_problems(timezone.now())
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
