"""Rows claimed a few at a time: never more than asked for, and none kept that is not tried."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone
from pytest_django import Settings

from mailbox.models import Account
from outbox import api
from outbox.delivery import claims, deliver, preparation, recovery
from outbox.delivery.claims import Claim
from outbox.models import DeliveryAttempt, OutboxMessage
from tests.outbox.delivery.test_kill import run_worker
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Drop, Hold, Reply, Silence, Surplus

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits")]
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]
# Each makes PostgreSQL take another way through the same statement, as the sizes of tables do in time.
PLANS = ["", "hashjoin mergejoin", "hashjoin mergejoin material memoize", "hashjoin mergejoin hashagg sort material"]


@pytest.fixture
def account(make_account: Accounts) -> Account:
    return make_account(imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)


def queued(account: Account, count: int) -> list[int]:
    made = [api.queue(account.pk, f"r{n}@example.test", "Hello", "A text.") for n in range(count)]
    return [response.data.outbox_id for response in made if response.data]


def claimed(account: Account, most: int) -> list[Claim]:
    return claims.claim_some(account.pk, "test/1", most=most, lease_seconds=60, now=timezone.now())


def states() -> list[str]:
    return [status + (f" {hold}" if hold else "") for status, hold in _states()]


def _states() -> list[tuple[str, str]]:
    return list(OutboxMessage.objects.order_by("pk").values_list("status", "hold"))


def test_no_more_rows_are_claimed_than_asked_for_whatever_way_the_database_takes(account: Account) -> None:
    rows = queued(account, 10)
    for forbidden in PLANS:
        for most in (1, 3, 20):
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    for way in forbidden.split():
                        cursor.execute(f"SET enable_{way} = off")
            found = claimed(account, most)

            assert [each.outbox_id for each in found] == rows[:most]
            assert states().count("sending") == DeliveryAttempt.objects.count() == min(most, 10)
            assert claims.unclaim(found, now=timezone.now()) == len(found)
            assert states() == ["pending"] * 10 and not DeliveryAttempt.objects.exists()
            connection.close()  # and with it what was set


@pytest.mark.parametrize("fault", [Drop(), Silence(), Reply("421 4.7.0 Later"), Reply("550 5.1.0 No")], ids=repr)
@pytest.mark.parametrize("command", ["MAIL", "DATA", "."])
@pytest.mark.in_part(3)
def test_whatever_ends_a_session_nothing_stays_claimed(
    account_on: Accounts, smtp_server: Start, command: str, fault: Any
) -> None:
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    queued(account, 5)
    server.on(command, fault, times=2)

    deliver.deliver_account(account.pk)

    assert "sending" not in states()
    assert not DeliveryAttempt.objects.filter(outcome="").exists()
    assert len(server.mails()) == states().count("sent")


def test_rows_claimed_ahead_are_given_back_through_a_database_error(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    account = account_on(server)
    queued(account, 6)
    server.on(".", Reply("451 4.7.1 Rate limit exceeded"), times=1)
    refused: list[str] = []

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if '"former_status"' in sql and "RETURNING" not in sql and not refused:
            refused.append(sql)
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        deliver.deliver_account(account.pk)

    assert refused and "sending" not in states()
    assert DeliveryAttempt.objects.count() == 1


def test_a_row_that_takes_its_worker_down_each_time_does_not_keep_those_claimed_with_it(account: Account) -> None:
    rows, now = queued(account, 5), timezone.now()
    for kill in range(5):
        found = claims.claim_some(account.pk, "killed/1", most=5, lease_seconds=60, now=now)
        killer = next((index for index, each in enumerate(found) if each.outbox_id == rows[0]), None)
        if killer != 0:
            break
        now += timedelta(seconds=60)
        assert recovery.recover(now) == (5, 0), kill

    # Behind the others from the first time on; and these stand as if they had not been claimed.
    assert [each.outbox_id for each in found] == [*rows[1:], rows[0]]
    assert [each.number for each in found] == [1, 1, 1, 1, 2]


def test_what_a_killed_worker_had_claimed_ahead_goes_out_within_45_seconds(
    account_on: Accounts, smtp_server: Start
) -> None:
    """The leases of the rows and of the account lapse within 15 s, and the sweep comes by each 30 s.
    The row whose mail was with the server is a question, as ever."""
    server, hold = smtp_server("tls", pipelining=True), Hold()
    server.on(".", hold, times=1)
    account = account_on(server)
    rows = queued(account, 5)
    worker = run_worker(account.pk)
    assert hold.reached.wait(30)
    assert set(states()) == {"sending"}  # the four others were claimed with the "dot" of the first

    worker.kill()
    worker.wait()
    hold.release()
    soon = timezone.now() + timedelta(seconds=15)
    assert recovery.recover(soon) == (4, 0)
    assert deliver.deliver_account(account.pk, clock=lambda: soon).sent == 4

    assert OutboxMessage.objects.get(pk=rows[0]).status == "sending"  # its lease covers the wait for the answer


def test_a_row_claimed_ahead_that_is_begun_is_held_as_long_as_any_other(
    account_on: Accounts, smtp_server: Start, settings: Settings
) -> None:
    """The lease of one claimed ahead is short; whoever begins it and is kept waiting holds it on."""
    settings.COMMAND_TIMEOUT_SECONDS = 20
    server, hold = smtp_server("tls", pipelining=True), Hold()
    server.on("RCPT", hold, containing="r1@", times=1)
    account = account_on(server)
    rows = queued(account, 2)
    worker = threading.Thread(target=lambda: (deliver.deliver_account(account.pk), connections.close_all()))
    worker.start()
    assert hold.reached.wait(30)
    row, begin = OutboxMessage.objects.get(pk=rows[1]), time.monotonic()
    assert row.lease_expires_at and row.lease_expires_at <= timezone.now() + timedelta(seconds=15)
    while row.lease_expires_at < timezone.now() + timedelta(seconds=17) and time.monotonic() < begin + 12:
        time.sleep(0.2)
        row.refresh_from_db()

    assert row.status == "sending" and row.lease_expires_at > timezone.now() + timedelta(seconds=17)
    hold.release()
    worker.join(30)
    assert states() == ["sent", "sent"]


def test_what_a_click_asked_of_an_attempt_is_not_forgotten_with_a_claim_that_lapsed(account: Account) -> None:
    rows, now = queued(account, 3), timezone.now()
    OutboxMessage.objects.filter(pk=rows[2]).update(failure_mode="network")
    claimed(account, 3)
    recovery.recover(now + timedelta(minutes=2))
    assert OutboxMessage.objects.get(pk=rows[2]).failure_mode == "network"


def test_a_mail_that_cannot_be_read_ahead_leaves_no_doubt_about_the_one_before(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = account_on(smtp_server("tls"))
    rows = queued(account, 2)
    real = preparation.prepare

    def prepare(claim: Claim, read: Callable[[], bytes]) -> preparation.PreparedAttempt:
        if claim.outbox_id == rows[1]:
            raise MemoryError
        return real(claim, read)

    monkeypatch.setattr(preparation, "prepare", prepare)
    with pytest.raises(MemoryError):
        deliver.deliver_account(account.pk)

    assert states() == ["sent", "failed"]


@pytest.mark.parametrize("pipelining", [True, False], ids=["PIPELINING", "one by one"])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("surplus", [b"250 2.0.0 Queued\r\n", b"354 Go ahead\r\n"], ids=["250", "354"])
def test_an_answer_that_nobody_asked_for_is_taken_for_no_other(
    account_on: Accounts, smtp_server: Start, command: str, surplus: bytes, pipelining: bool
) -> None:
    """Behind 354 a second 250 would say "accepted" of a mail that is then refused, and the mail would be lost."""
    server = smtp_server("tls", pipelining=pipelining)
    account = account_on(server)
    queued(account, 2)
    server.on(command, Surplus(surplus), times=1)
    server.on(".", Reply("550 5.7.1 Refused after all"))

    deliver.deliver_account(account.pk)

    assert "sent" not in states() and "sending" not in states() and server.mails() == []
