"""A worker that lives renews what it holds; one that died is said to be silent at once, and settled within a minute."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox import public_hosts
from mailbox.models import Account
from mailbox.oauth import refresh
from outbox import api
from outbox.delivery import deliver, recovery
from outbox.delivery.timeouts import LONGEST_LEASE_SECONDS, Times
from outbox.models import OutboxMessage
from outbox.models.messages import SILENT_AFTER
from outbox.smtp import blocking_calls
from outbox.smtp.connection import SmtpTimeouts
from outbox.smtp.data_phase import DataPhase
from tests.outbox.delivery.test_kill import run_worker
from tests.rows import NOWHERE, outbox_row
from tests.servers.ports import wait_until
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_dialogue import Dialogue, Left
from tests.servers.smtp_faults import Hold

pytestmark = [pytest.mark.wire, pytest.mark.django_db(transaction=True)]
Accounts = Callable[..., Account]
Start = Callable[..., SmtpServer]
SHORT = Times(SmtpTimeouts(10, 60, 60, 120), claim_lease=3, dot_lease=3, finalize=30)


def queued(account: Account) -> OutboxMessage:
    response = api.queue(account.pk, "bob@example.test", "Hello", "A text.")
    assert response.data
    return OutboxMessage.objects.get(pk=response.data.outbox_id)


def lease_of(row: OutboxMessage) -> datetime:
    row.refresh_from_db()
    assert row.status == "sending" and row.lease_expires_at
    return row.lease_expires_at


def test_no_lease_is_longer_than_a_minute() -> None:
    times = Times.from_settings()
    assert max(times.claim_lease, times.dot_lease, times.ahead_lease, times.send_lease) <= 60 < LONGEST_LEASE_SECONDS


@pytest.mark.parametrize("command", ["RCPT", "DATA", "."])
@pytest.mark.in_part(3)
def test_a_worker_that_waits_renews_its_claim_at_each_step(
    account_on: Accounts, smtp_server: Start, command: str
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on(command, hold, times=1)
    row = queued(account_on(server))

    def work() -> None:
        deliver.deliver_account(row.account_id, times=SHORT)
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    assert hold.reached.wait(30)
    first = lease_of(row)
    wait_until(lambda: lease_of(row) > first + timedelta(seconds=3), seconds=30, what="two renewals")
    assert recovery.recover(timezone.now()) == (0, 0)
    hold.release()
    worker.join(30)
    row.refresh_from_db()
    assert (row.status, len(server.mails())) == ("sent", 1)


@pytest.mark.parametrize(
    ("owner", "call"), [(public_hosts, "connect"), (refresh, "ensure_fresh")], ids=["a name server", "a provider"]
)
def test_a_worker_that_waits_for_what_blocks_renews_its_claim(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch, owner: Any, call: str
) -> None:
    """A resolver or a provider that is silent may take longer than a lease."""
    server, reached, answer = smtp_server("tls"), threading.Event(), threading.Event()
    row, real = queued(account_on(server)), getattr(owner, call)

    def silent(*arguments: Any, **options: Any) -> Any:
        reached.set()
        assert answer.wait(60)
        return real(*arguments, **options)

    monkeypatch.setattr(owner, call, silent)
    monkeypatch.setattr(blocking_calls, "TICK_SECONDS", 0.1)
    times = replace(SHORT, claim_lease=1)

    def work() -> None:
        deliver.deliver_account(row.account_id, times=times)
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    assert reached.wait(30)
    first = lease_of(row)
    wait_until(lambda: lease_of(row) > first + timedelta(seconds=1), seconds=30, what="two renewals")
    answer.set()
    worker.join(30)
    row.refresh_from_db()
    assert (row.status, row.attempts.count(), len(server.mails())) == ("sent", 1, 1)


@pytest.mark.parametrize(("command", "phase"), [("CONNECT", "tls"), ("AUTH", "auth"), ("RCPT", "rcpt")])
def test_pages_see_the_phase_in_which_a_server_is_silent(
    account_on: Accounts, smtp_server: Start, command: str, phase: str
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on(command, hold, times=1)
    row = queued(account_on(server))

    def work() -> None:
        deliver.deliver_account(row.account_id)
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    assert hold.reached.wait(30)
    wait_until(lambda: row.attempts.get().phase == phase, seconds=30, what="the phase")
    hold.release()
    worker.join(30)
    assert row.attempts.get().phase == "accepted" and len(server.mails()) == 1


@pytest.mark.parametrize("command", ["CONNECT", "AUTH", "RCPT"])
def test_what_a_killed_worker_had_not_handed_over_goes_out_within_a_minute(
    account_on: Accounts, smtp_server: Start, command: str
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on(command, hold, times=1)
    row = queued(account_on(server))
    worker = run_worker(row.account_id)
    assert hold.reached.wait(30)
    worker.kill()
    worker.wait()
    hold.release()
    soon = timezone.now() + timedelta(seconds=35)  # and the sweep comes each 30 s

    assert row.silent_since(soon) is None  # it was read before it was claimed
    row.refresh_from_db()
    assert row.silent_since(soon)
    assert recovery.recover(soon) == (1, 0)
    assert deliver.deliver_account(row.account_id, clock=lambda: soon).sent == 1


def test_what_it_had_handed_over_is_a_question_within_a_minute_and_a_half(
    account_on: Accounts, smtp_server: Start
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on(".", hold, times=1)
    row = queued(account_on(server))
    worker = run_worker(row.account_id)
    assert hold.reached.wait(30)
    worker.kill()
    worker.wait()
    hold.release()
    assert recovery.recover(timezone.now() + timedelta(seconds=62)) == (0, 1)


@pytest.mark.parametrize(
    "set_back", [timedelta(), timedelta(hours=1)], ids=["its clock goes on", "its clock is set back"]
)
def test_a_worker_whose_claim_lapsed_while_the_mail_was_written_does_not_end_it_and_answers_the_question(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch, set_back: timedelta
) -> None:
    """It was stopped just before the end of the mail for longer than its lease; meanwhile a person was asked, by a host
    whose clock is right."""
    server = smtp_server("tls")
    row = queued(account_on(server))
    late = timedelta()

    real = DataPhase._write_end

    def lapse() -> None:
        recovery.recover(timezone.now() + timedelta(minutes=2))
        row.refresh_from_db()
        assert row.hold == "uncertain"
        connection.close()

    async def stopped_meanwhile(*arguments: Any) -> None:
        nonlocal late
        late = timedelta(minutes=2) - set_back
        await asyncio.to_thread(lapse)
        await real(*arguments)

    monkeypatch.setattr(DataPhase, "_write_end", stopped_meanwhile)
    deliver.deliver_account(row.account_id, clock=lambda: timezone.now() + late)

    row.refresh_from_db()
    assert (row.status, row.hold, row.attempts.get().outcome) == ("failed", "", "transient")
    assert server.mails() == [] and "." not in server.commands


def test_one_that_still_holds_its_claim_asks_for_it_again_and_goes_on(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = smtp_server("tls")
    row = queued(account_on(server))
    late = timedelta()

    real = DataPhase._write_end

    async def stopped_meanwhile(*arguments: Any) -> None:
        nonlocal late
        late = timedelta(minutes=2)
        await real(*arguments)

    monkeypatch.setattr(DataPhase, "_write_end", stopped_meanwhile)
    deliver.deliver_account(row.account_id, clock=lambda: timezone.now() + late)
    row.refresh_from_db()
    assert row.status == "sent" and "." in server.commands


def test_a_large_mail_on_a_slow_line_takes_as_long_as_it_takes(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit is for each write and each reply; that of the whole grows with the mail."""
    real = Dialogue._read_content

    def read_slowly(self: Dialogue) -> bytes:
        begin = b"".join(self.reader.readline() for _ in range(4))
        threading.Event().wait(2.5)  # longer than a session may take by itself
        return begin + real(self)

    monkeypatch.setattr(Dialogue, "_read_content", read_slowly)
    server = smtp_server("tls")
    account = account_on(server)
    assert api.queue(account.pk, "bob@example.test", "Large", ("x" * 70 + "\n") * 12_000).ok
    times = Times(SmtpTimeouts(10, 10, 10, 2), claim_lease=30, dot_lease=60, finalize=30)
    deliver.deliver_account(account.pk, times=times)
    assert OutboxMessage.objects.get().status == "sent" and len(server.mails()) == 1


def test_a_server_that_stops_reading_in_the_middle_of_a_mail_is_one_failure_and_no_question(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()

    def stop_reading(self: Dialogue) -> bytes:
        is_over.wait(60)
        raise Left

    monkeypatch.setattr(Dialogue, "_read_content", stop_reading)
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    assert api.queue(account.pk, "bob@example.test", "Large", ("x" * 70 + "\n") * 120_000).ok
    times = Times(SmtpTimeouts(10, 10, 10, 60, write=1), claim_lease=30, dot_lease=60, finalize=30)
    deliver.deliver_account(account.pk, times=times)
    is_over.set()
    row = OutboxMessage.objects.get()
    assert (row.status, row.hold, row.retries, row.data_at) == ("failed", "", 1, None)
    assert (row.attempts.get().phase, row.attempts.get().outcome) == ("data", "transient") and server.mails() == []


def test_each_write_of_a_body_has_three_minutes_and_the_largest_mail_goes_out_over_64_kilobytes_a_second() -> None:
    patience, largest = Times.from_settings().patience, 150 * 1024 * 1024 * 4 / 3
    assert patience.write == 180
    assert largest / (64 * 1024) < patience.session + largest / patience.slowest_bytes_per_second


@pytest.fixture
def silent(make_account: Accounts) -> OutboxMessage:
    row = outbox_row(make_account(**NOWHERE), "Silent", status="sending")
    OutboxMessage.objects.filter(pk=row.pk).update(updated_at=timezone.now() - SILENT_AFTER - timedelta(seconds=5))
    row.refresh_from_db()
    return row


@pytest.mark.pages
@pytest.mark.parametrize("has_begun", [False, True])
def test_the_pages_say_at_once_since_when_its_worker_is_silent(
    silent: OutboxMessage, client: Client, make_user: Callable[..., User], has_begun: bool
) -> None:
    if has_begun:
        OutboxMessage.objects.filter(pk=silent.pk).update(data_at=timezone.now())
    client.force_login(make_user("operator"))
    time = timezone.localtime(silent.updated_at).strftime("%H:%M:%S")
    listed = unescape(client.get(reverse("outbox:list"), {"tab": "sending"}).content.decode())
    assert f"worker silent since {time}" in listed
    detail = unescape(client.get(reverse("outbox:detail", args=[silent.pk])).content.decode())
    assert f"Its worker has been silent since {time}" in detail
    assert ("for a person to decide" if has_begun else "tried again by itself") in detail
    assert "A worker is handing it to the server at this moment." not in detail


@pytest.mark.pages
def test_of_a_worker_that_lives_no_page_says_so(
    silent: OutboxMessage, client: Client, make_user: Callable[..., User]
) -> None:
    OutboxMessage.objects.filter(pk=silent.pk).update(updated_at=timezone.now())
    client.force_login(make_user("operator"))
    detail = client.get(reverse("outbox:detail", args=[silent.pk])).content.decode()
    assert "silent since" not in detail and "A worker is handing it to the server at this moment." in detail


def test_who_has_no_worker_is_not_silent(make_account: Accounts) -> None:
    account, now = make_account(**NOWHERE), timezone.now() + timedelta(days=1)
    for status in ("pending", "failed", "sent", "cancelled"):
        assert outbox_row(account, status, status=status).silent_since(now) is None
