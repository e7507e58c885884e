"""Mail that may still be undone or is sent at a time: a worker waits for it, sweeps being half a minute apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from mailbox.host_slots import take_slot
from mailbox.models import Account
from outbox import api
from outbox.compose.build import Request
from outbox.compose.create import SendRequest
from outbox.delivery import worker as delivery_worker
from outbox.models import OutboxMessage
from outbox.tasks import delivery as delivery_tasks
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]
AHEAD = 35.0


@dataclass
class Clock:
    """The present, and what a test lets pass at once."""

    passed: timedelta = field(default_factory=timedelta)
    asked: int = 0

    def __call__(self) -> datetime:
        self.asked += 1
        return timezone.now() + self.passed


class Waiting:
    """A worker in a thread of its own, which has found nothing that is due and stays."""

    def __init__(self, clock: Clock, may_wait: Callable[[], bool] = lambda: True) -> None:
        self._runner = delivery_worker.DeliveryRunner(clock=clock, may_wait=may_wait)
        self._thread = threading.Thread(target=self._runner.run, args=(60,), kwargs={"ahead": AHEAD})
        self._thread.start()
        asked = clock.asked
        while clock.asked < asked + 10:  # several looks, each asks for the time
            assert self._thread.is_alive()
            time.sleep(0.01)

    def end(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


def leaves_at_once() -> None:
    """A worker that waited would stay for ten minutes: the mail is due in half an hour, and it looks an hour ahead."""
    run = delivery_worker.DeliveryRunner().run
    thread = threading.Thread(target=run, args=(600,), kwargs={"ahead": 3600.0}, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def written(account: Account, **times: object) -> OutboxMessage:
    mail = Request(to="anna@example.test", subject="Later", body_text="A text.")
    request = SendRequest(mail, **times)  # type: ignore[arg-type]
    response = api.queue_request(account.pk, request)
    assert response.ok, response.error
    return OutboxMessage.objects.get()


def calls() -> int:
    return [task.func() for task in OrmQ.objects.all()].count("outbox.tasks.deliver")


def test_a_worker_waits_until_mail_can_no_longer_be_undone(account_on: Accounts, smtp_server: Start) -> None:
    server, clock = smtp_server("tls"), Clock()
    row = written(account_on(server), undo_seconds=20)
    worker = Waiting(clock)
    assert server.mails() == []

    clock.passed = timedelta(seconds=20)
    worker.end()

    row.refresh_from_db()
    assert row.status == OutboxMessage.Status.SENT and len(server.mails()) == 1


def test_mail_that_is_undone_meanwhile_lets_the_worker_go(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    row = written(account_on(server), undo_seconds=20)
    worker = Waiting(Clock())

    assert api.undo(row.pk, user=None).ok
    worker.end()

    assert server.connections == 0


def test_a_worker_that_is_needed_elsewhere_does_not_wait(account_on: Accounts, smtp_server: Start) -> None:
    server, needed = smtp_server("tls"), threading.Event()
    written(account_on(server), undo_seconds=20)
    worker = Waiting(Clock(), lambda: not needed.is_set())

    needed.set()
    worker.end()

    assert server.connections == 0


def test_only_the_first_worker_of_a_host_waits(account_on: Accounts, smtp_server: Start) -> None:
    written(account_on(smtp_server("tls")), undo_seconds=1800)
    first = take_slot("deliver", 1)
    assert first

    leaves_at_once()
    first.close()


def test_nobody_waits_for_mail_that_a_person_has_to_release(account_on: Accounts, smtp_server: Start) -> None:
    row = written(account_on(smtp_server("tls")), undo_seconds=1800)
    OutboxMessage.objects.filter(pk=row.pk).update(status="failed", hold="permanent")

    leaves_at_once()


@pytest.mark.parametrize(("seconds", "called"), [(20, 1), (3600, 0)])
def test_a_worker_is_called_for_what_is_due_before_the_next_sweep(
    account_on: Accounts, smtp_server: Start, settings: Settings, seconds: int, called: int
) -> None:
    settings.OUTBOX_AHEAD_SECONDS = AHEAD
    written(account_on(smtp_server("tls")), send_at=timezone.now() + timedelta(seconds=seconds))
    assert calls() == called
    OrmQ.objects.all().delete()

    assert delivery_tasks.sweep()["queued"] == called
    assert calls() == called
