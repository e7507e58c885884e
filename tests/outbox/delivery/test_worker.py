"""Many accounts at once: nobody waits for another's server, a thousand calls are one task, commits are shared."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from mailbox.host_slots import take_slot
from mailbox.models import Account, Lease
from outbox import api
from outbox.delivery import worker as delivery_worker
from outbox.delivery.worker import DeliveryRunner
from outbox.models import DeliveryCall, OutboxMessage
from outbox.smtp import in_step
from outbox.tasks import delivery as delivery_tasks
from tests.servers.site import Cluster
from tests.servers.smtp import SinkMail, SmtpServer
from tests.servers.smtp_faults import Hold

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]


@pytest.fixture
def holds() -> Iterator[list[Hold]]:
    """Released at the end, whatever became of the test."""
    made: list[Hold] = []
    yield made
    for hold in made:
        hold.release()


def stalling(account_on: Accounts, smtp_server: Start, holds: list[Hold], command: str = ".") -> Account:
    server, hold = smtp_server("tls"), Hold()
    server.on(command, hold)
    holds.append(hold)
    return account_on(server)


def queue(account: Account, count: int = 1) -> None:
    for n in range(count):
        assert api.queue(account.pk, f"u{n}@example.test", f"Mail {n}", "A text.").ok


def calls() -> int:
    return [task.func() for task in OrmQ.objects.all()].count("outbox.tasks.deliver")


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.05)
    return done()


@pytest.mark.long
def test_servers_that_stall_at_the_final_dot_hold_up_nobody(
    account_on: Accounts, smtp_server: Start, start_workers: Callable[..., Cluster], holds: list[Hold]
) -> None:
    """Four servers never answer, the workers are two: mail of others goes out, again and again, beside them."""
    dead = [stalling(account_on, smtp_server, holds) for _ in range(4)]
    server = smtp_server("tls")
    well = [account_on(server) for _ in range(2)]
    workers = start_workers(PRX_EMAIL_WORKERS="2")
    for account in dead:
        queue(account, 2)
    assert all(hold.reached.wait(60) for hold in holds), workers.log()

    for sent in (1, 2):
        for account in well:
            queue(account)
        assert wait_until(lambda sent=sent: len(server.mails()) == 2 * sent, 30), workers.log()  # type: ignore[misc]
        time.sleep(3)  # the stalled sessions have gone to the background, and their task has ended
    # One row of each stalled account is with its server; the row after it is not kept waiting with it.
    assert OutboxMessage.objects.sending().count() == 4 and OutboxMessage.objects.queued().count() == 4
    for hold in holds:
        hold.release()
    assert wait_until(lambda: not OutboxMessage.objects.sending().exists(), 30)


def test_more_stalling_accounts_than_sessions_hold_up_nobody(
    account_on: Accounts, smtp_server: Start, settings: Settings, holds: list[Hold]
) -> None:
    settings.OUTBOX_SESSIONS = 1
    dead = [stalling(account_on, smtp_server, holds, command) for command in ("EHLO", "RCPT", ".")]
    server = smtp_server("tls")
    for account in dead:
        queue(account)
    queue(account_on(server))

    delivery_worker.DeliveryRunner().run(60)

    assert len(server.mails()) == 1
    for hold in holds:
        hold.release()
    assert wait_until(lambda: OutboxMessage.objects.sent().count() == 4, 30)
    wait_until(lambda: threading.active_count() == 1, 5)


def test_of_accounts_that_nobody_served_yet_the_older_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of numbers have an order of their own: 8 comes before 7."""
    monkeypatch.setattr(delivery_worker.deliver, "accounts_with_due_rows", lambda _: [7, 8, 16])
    runner = DeliveryRunner()
    assert runner._startable() == [7, 8, 16]
    runner._served_at = {7: 2.0, 16: 1.0}
    assert runner._startable() == [8, 16, 7]


def test_a_server_that_never_answers_quit_keeps_nobody_from_its_place(
    account_on: Accounts, smtp_server: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch, holds: list[Hold]
) -> None:
    monkeypatch.setattr(in_step, "QUIT_SECONDS", 60)
    settings.OUTBOX_SESSIONS = 1
    stays, server, runner = stalling(account_on, smtp_server, holds, "QUIT"), smtp_server("tls"), DeliveryRunner()
    other, is_there_meanwhile = account_on(server), list[bool]()

    def taken(_mail: SinkMail) -> None:
        is_there_meanwhile.append(stays.pk in runner._rounds)
        holds[0].release()

    server.deliver = taken
    queue(stays)
    queue(other)
    runner.run(60)

    assert is_there_meanwhile == [True] and OutboxMessage.objects.sent().count() == 2


def test_a_delivery_worker_finds_accounts_that_come_while_it_delivers(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    first, second = account_on(server), account_on(server)
    queue(first)
    server.deliver = lambda mail: queue(second) if len(server.mails()) == 1 else None

    delivery_worker.DeliveryRunner().run(30)

    assert OutboxMessage.objects.sent().count() == 2


def test_many_mails_call_one_delivery_worker(account_on: Accounts, smtp_server: Start) -> None:
    account = account_on(smtp_server("tls"))
    queue(account, 5)
    assert calls() == 1

    delivery_tasks.deliver()
    assert OutboxMessage.objects.sent().count() == 5
    queue(account)

    assert calls() == 2


def test_a_call_that_nobody_answers_is_made_again() -> None:
    now = timezone.now()
    assert DeliveryCall.make(now, forget_after=30) and not DeliveryCall.make(now, forget_after=30)
    assert DeliveryCall.make(now + timedelta(seconds=30), forget_after=30)
    DeliveryCall.answer()
    assert DeliveryCall.make(now, forget_after=30)


def test_a_second_delivery_worker_leaves_and_takes_over_when_the_first_is_gone(
    account_on: Accounts, smtp_server: Start, settings: Settings
) -> None:
    settings.OUTBOX_COURIERS = 1
    queue(account_on(smtp_server("tls")))
    first = take_slot("deliver", 1)
    assert first

    assert delivery_worker.DeliveryRunner().run(30).attempted == 0
    first.close()
    delivery_worker.DeliveryRunner().run(30)

    assert OutboxMessage.objects.sent().count() == 1


def test_a_second_host_brings_delivery_workers_of_its_own(
    account_on: Accounts, smtp_server: Start, settings: Settings, tmp_path: Path
) -> None:
    settings.OUTBOX_COURIERS = 1
    queue(account_on(smtp_server("tls")))
    taken = take_slot("deliver", 1)
    settings.DATA_DIR = tmp_path

    assert delivery_worker.DeliveryRunner().run(30).sent == 1
    assert taken
    taken.close()


def test_an_account_that_another_process_serves_is_left_to_it(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    account = account_on(server)
    queue(account)
    Lease.acquire(account.pk, "send", "elsewhere/1", seconds=60, now=timezone.now())

    assert delivery_worker.DeliveryRunner().run(30).attempted == 0
    assert server.connections == 0
