"""Alerts in the browser: adding, changing, testing and deleting one, and what was told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from alerts import incidents, tasks
from alerts.models import AlertRule
from mailbox.models import Account
from tests.alerts.telling import MINUTE, SECRET, Receiver, account, by_mail, by_webhook, failed, look, now, receiver
from tests.rows import queries_of, tasks_queued

__all__ = ["account", "now", "receiver"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


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
        ({**MAIL, "user": "of-the-site"}, "Choose a user or enter an address."),
        (MAIL, "Choose the account that the mail is sent from."),
        ({**HOOK, "url": ""}, "Enter the address to post to."),
        ({**HOOK, "url": "http://hooks.example.com/"}, "begins with https://"),
        ({**HOOK, "secret": "short"}, "at least 16 characters"),
        ({**HOOK, "kinds": ["weather"]}, "weather"),
    ],
)
def test_what_cannot_be_an_alert_is_said_at_the_field(administrator: Client, given: Any, words: str) -> None:
    User.objects.update(email="chief@example.net")
    given = {name: User.objects.get().pk if value == "of-the-site" else value for name, value in given.items()}
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
