"""Instants at which a mail could be lost, doubled or left without anyone who comes back to it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import claims, finalization, preparation, recovery
from outbox.delivery import deliver as delivery_deliver
from outbox.models import OutboxMessage, OutboxRecipient
from outbox.tasks import delivery as delivery_tasks
from tests.outbox.delivery.queued_mails import Accounts, Start, in_thread, queued, refused_by_the_database, states
from tests.rows import newest_attempt
from tests.servers import MAILBOX_PASSWORD
from tests.servers.smtp_faults import Drop, Hold, Reply

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits"), pytest.mark.wire]


def test_nothing_is_asked_of_the_database_between_the_answer_and_the_outcome(
    account_on: Accounts, smtp_server: Start
) -> None:
    """The mail is accepted: a database that is away for a moment must not make that unknown."""
    server = smtp_server("tls")
    row = queued(account_on(server))
    refused: list[list[str]] = []
    server.deliver = lambda mail: refused.append([])  # the instant after which the guard is armed

    def refuse_first(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if refused and not refused[0]:
            refused[0].append(sql)
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse_first):
        delivery_deliver.deliver_account(row.account_id)

    row.refresh_from_db()
    assert refused[0] and row.status == "sent"


def test_a_known_refusal_stays_known_when_the_transport_cannot_be_written(
    account_on: Accounts, smtp_server: Start
) -> None:
    server = smtp_server("tls")
    server.on(".", Reply("451 4.7.0 Slow down"))
    row = queued(account_on(server))

    with refused_by_the_database('UPDATE "transports"', 20) as refused:
        delivery_deliver.deliver_account(row.account_id)

    row.refresh_from_db()
    assert refused and (row.status, row.hold, row.attempts.get().outcome) == ("failed", "", "throttled")


def test_marked_as_sent_counts_the_recipient_that_was_refused_before_and_taken_now(
    account_on: Accounts, smtp_server: Start
) -> None:
    """ann has it; bob was greylisted, then taken, and the answer to the mail was lost. A person says: it arrived."""
    server = smtp_server("tls")
    server.on("RCPT", Reply("451 4.2.0 Greylisted"), containing="bob@", times=1)
    row = queued(account_on(server), "ann@example.test, bob@example.test")
    delivery_deliver.deliver_account(row.account_id)
    server.on(".", Drop(keep_mail=True), times=1)
    api.retry_outbox(row.pk, now_anyway=True)
    assert states() == [("failed", "uncertain")]

    assert api.mark_as_sent(row.pk, newest_attempt(row.pk), user=None).ok
    delivery_deliver.deliver_account(row.account_id)

    assert states() == [("sent", "")]
    assert [mail.rcpt_tos for mail in server.mails()] == [["ann@example.test"], ["bob@example.test"]]
    assert set(OutboxRecipient.objects.values_list("status", flat=True)) == {"accepted"}


def test_credentials_that_change_while_the_old_ones_are_refused_leave_no_row_behind(
    account_on: Accounts, smtp_server: Start
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on("AUTH", hold, times=1)
    account = account_on(server, smtp_password="old")
    row = queued(account)
    worker = in_thread(lambda: delivery_deliver.deliver_account(account.pk))
    assert hold.reached.wait(10)

    account.smtp.password = MAILBOX_PASSWORD
    account.smtp.save()
    delivery_tasks.queue_sign_in_recovered(account.pk)
    server.accept()
    server.on("AUTH", Reply("535 5.7.8 Wrong password"), times=0)
    hold.release()
    worker.join(20)
    delivery_tasks.sweep()
    delivery_deliver.deliver_account(account.pk)

    row.refresh_from_db()
    assert (row.status, row.hold, len(server.mails())) == ("sent", "", 1)


def test_a_hold_for_a_refused_sign_in_stays_until_the_sign_in_is_in_order(
    account_on: Accounts, smtp_server: Start
) -> None:
    account = account_on(smtp_server("tls"), smtp_password="wrong")
    queued(account)
    delivery_deliver.deliver_account(account.pk)

    recovery.lift_outdated_sign_in_holds(timezone.now())

    assert states() == [("failed", "sign_in")]


@pytest.mark.parametrize("command", ["RCPT", "."])
def test_an_account_that_is_deleted_in_mid_send_takes_its_rows_with_it_quietly(
    account_on: Accounts, smtp_server: Start, command: str
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on(command, hold)
    account = account_on(server)
    queued(account)
    trouble: list[Exception] = []

    def deliver() -> None:
        try:
            delivery_deliver.deliver_account(account.pk)
        except Exception as error:
            trouble.append(error)

    worker = in_thread(deliver)
    assert hold.reached.wait(10)
    account.delete()
    hold.release()
    worker.join(20)

    assert trouble == [] and not OutboxMessage.objects.exists()
    assert len(server.mails()) == (1 if command == "." else 0)
    delivery_deliver.deliver_account(account.pk)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("change", ["paused", "password"])
def test_an_account_that_is_paused_or_gets_another_password_in_mid_send_has_each_mail_sent_once(
    account_on: Accounts, smtp_server: Start, command: str, change: str
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on(command, hold, times=1)
    account = account_on(server)
    queued(account)
    queued(account)
    worker = in_thread(lambda: delivery_deliver.deliver_account(account.pk))
    assert hold.reached.wait(10)

    if change == "paused":
        Account.objects.update(sending_paused_at=timezone.now())
    else:
        account.smtp.password = MAILBOX_PASSWORD
        account.smtp.save()
        delivery_tasks.queue_sign_in_recovered(account.pk)
    hold.release()
    worker.join(20)
    Account.objects.update(sending_paused_at=None)
    delivery_tasks.sweep()
    delivery_deliver.deliver_account(account.pk)

    assert states() == [("sent", ""), ("sent", "")]
    assert len({mail.submitted for mail in server.mails()}) == len(server.mails()) == 2


class TimeOut(SystemExit):
    """As django-q2 raises it, from a signal, at any instruction."""


@pytest.mark.parametrize(
    ("owner", "step"),
    [(preparation, "lacking"), (claims, "extend"), (claims, "commit_dot"), (finalization, "finalize")],
    ids=["recipients", "extend", "commit_dot", "finalize"],
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_task_that_is_stopped_at_any_step_leaves_a_row_that_somebody_comes_back_to(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, after: bool
) -> None:
    server = smtp_server("tls")
    row = queued(account_on(server))
    real, stopped = getattr(owner, step), list[str]()

    def stop_once(*args: Any, **kwargs: Any) -> Any:
        answer = real(*args, **kwargs) if after or stopped else None
        if not stopped:
            stopped.append(step)
            raise TimeOut("time-out")
        return answer

    monkeypatch.setattr(owner, step, stop_once)
    with pytest.raises(TimeOut):
        delivery_deliver.deliver_account(row.account_id)
    later = timezone.now() + timedelta(hours=1)
    recovery.recover(later)
    delivery_deliver.deliver_account(row.account_id, clock=lambda: later + timedelta(seconds=1))

    assert states() == [("sent", "")] and len(server.mails()) == 1


def test_a_cancelled_mail_is_answered_as_cancelled(account_on: Accounts, smtp_server: Start) -> None:
    account = account_on(smtp_server("tls"))
    first = api.queue(account.pk, "bob@example.test", "Hello", "A text.", idempotency_key="k")
    assert first.data and api.cancel(first.data.outbox_id, user=None).ok

    response = api.send(account.pk, "bob@example.test", "Hello", "A text.", idempotency_key="k")

    assert response.error and response.error.message == "Not sent: the mail was cancelled."


def test_of_two_threads_with_one_key_both_get_the_one_row(account_on: Accounts, smtp_server: Start) -> None:
    account = account_on(smtp_server("tls"))
    barrier, rows = threading.Barrier(4), list[int]()

    def race(n: int) -> None:
        barrier.wait()
        response = api.queue(account.pk, "bob@example.test", "Hello", "A text.", idempotency_key="one")
        assert response.data, response
        rows.append(response.data.outbox_id)

    threads = [in_thread(lambda n=n: race(n)) for n in range(4)]  # type: ignore[misc]
    for thread in threads:
        thread.join(20)

    assert len(rows) == 4 and len(set(rows)) == 1 and OutboxMessage.objects.count() == 1


def test_one_mailbox_written_twice_gets_one_copy(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    account = account_on(server)

    assert api.send(
        account.pk,
        "bob@example.test, Bob@example.test",
        "Hello",
        "A text.",
        cc="bob@EXAMPLE.test",
        bcc="bob@Example.Test",
    ).ok

    assert server.mails()[0].rcpt_tos == ["bob@example.test", "Bob@example.test"]


def test_a_row_that_takes_its_worker_down_each_time_is_tried_less_and_less_often(
    account_on: Accounts, smtp_server: Start
) -> None:
    row, now, waits = queued(account_on(smtp_server("tls"))), timezone.now(), list[float]()
    for _ in range(5):
        assert claims.claim_row(row.pk, "killed/1", lease_seconds=60, now=now)
        now += timedelta(seconds=60)
        assert recovery.recover(now) == (1, 0)
        row.refresh_from_db()
        waits.append((row.next_attempt_at - now).total_seconds())
        now = row.next_attempt_at

    assert waits == [0, 0, 10, 20, 40]
    assert (row.status, row.retries) == ("pending", 0)
