"""The clock and the workers: what is queued, what the sweep finds, and a real cluster that delivers."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from pytest_django import Settings

from mailbox.models import Account
from outbox import api, schedules
from outbox.checks import message_id_domain
from outbox.delivery import claims
from outbox.models import OutboxMessage
from outbox.tasks import delivery as delivery_tasks
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
Accounts = Callable[..., Account]


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.1)
    return done()


def test_a_queued_mail_is_delivered_by_a_real_worker(
    account_on: Accounts, smtp_server: Callable[..., SmtpServer], workers: Cluster
) -> None:
    server = smtp_server("starttls")

    response = api.queue(account_on(server).pk, "bob@example.test", "Hello", "A text.")

    assert response.data and response.data.status == "pending"
    assert wait_until(lambda: OutboxMessage.objects.sent().exists(), 30), workers.log()
    assert len(server.mails()) == 1


def test_a_task_is_queued_only_when_the_row_is_committed(make_account: Accounts) -> None:
    account = make_account(imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)
    with pytest.raises(RuntimeError), transaction.atomic():
        api.queue(account.pk, "bob@example.test", "Hello", "A text.")
        raise RuntimeError("the request fails after all")

    assert not OutboxMessage.objects.exists() and not OrmQ.objects.exists()
    api.queue(account.pk, "bob@example.test", "Hello", "A text.")
    assert OrmQ.objects.count() == 1


def test_a_mail_that_is_queued_is_said_to_be_when_no_worker_can_be_called(make_account: Accounts) -> None:
    """Another process may hold SQLite's lock for longer than one waits; told of an error, a program queues twice."""

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "delivery_calls" in sql:
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    account = make_account(imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)
    with connection.execute_wrapper(refuse):
        response = api.queue(account.pk, "bob@example.test", "Hello", "A text.")
    assert response.ok and response.data and response.data.status == "pending"
    assert not OrmQ.objects.exists()
    delivery_tasks.sweep()
    assert OrmQ.objects.count() == 1


def test_the_sweep_recovers_and_queues_each_account_once(make_account: Accounts) -> None:
    account = make_account(imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)
    for _ in range(3):
        api.queue(account.pk, "bob@example.test", "Hello", "A text.")
    OrmQ.objects.all().delete()  # what the broker forgets, the sweep finds
    OutboxMessage.objects.update(next_attempt_at=timezone.now() - timedelta(minutes=1))
    row = OutboxMessage.objects.first()
    assert row and claims.claim_row(row.pk, "dead/1", lease_seconds=1, now=timezone.now() - timedelta(seconds=5))

    assert delivery_tasks.sweep() == {"given_back": 1, "uncertain": 0, "queued": 1}
    assert OrmQ.objects.count() == 1


def test_the_schedules_are_two_half_a_minute_apart_however_often_they_are_made() -> None:
    Schedule.objects.all().delete()
    schedules.make_schedules()
    Schedule.objects.create(name="outbox: sweep on the minute", func="elsewhere.old")  # a copy from a restore
    schedules.make_schedules()

    names = list(Schedule.objects.filter(name__startswith="outbox: ").values_list("name", flat=True))
    assert len(names) == len(set(names))
    for function in ("outbox.tasks.sweep", "outbox.tasks.sweep_afterwards"):
        first, second = Schedule.objects.filter(func=function).order_by("next_run")
        assert round((second.next_run - first.next_run).total_seconds()) == 30


def test_the_deployment_check_warns_of_the_default_domain_only(settings: Settings) -> None:
    assert [warning.id for warning in message_id_domain()] == ["outbox.W001"]
    settings.MESSAGE_ID_DOMAIN = "mail.example.com"
    assert message_id_domain() == []
