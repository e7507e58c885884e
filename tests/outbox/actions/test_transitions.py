"""What a person may do to a row, and what the answers say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from mailbox.models import Account, AuditEntry, Counter, Message
from outbox import api
from outbox.compose.attachments import AttachmentInput
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from tests.rows import newest_attempt
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Drop

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]


@pytest.fixture
def server(smtp_server: Start) -> SmtpServer:
    return smtp_server("tls")


@pytest.fixture
def account(account_on: Accounts, server: SmtpServer) -> Account:
    return account_on(server)


def queued(account: Account, **changes: Any) -> OutboxMessage:
    response = api.queue(account.pk, "bob@example.test", "Hello", "A text.", **changes)
    assert response.ok and response.data and response.data.status == "pending", response
    return OutboxMessage.objects.get(pk=response.data.outbox_id)


def message(response: api.ApiResponse) -> str:
    assert not response.ok and response.error
    return response.error.message


def test_queue_answers_at_once_and_the_workers_deliver(account: Account, server: SmtpServer) -> None:
    row = queued(account)
    assert server.mails() == []

    deliver.deliver_account(account.pk)

    row.refresh_from_db()
    assert row.status == "sent" and len(server.mails()) == 1
    counted = dict(Counter.objects.values_list("name", "value"))
    assert counted == {"sends": 1}


def test_a_retry_before_its_time_is_refused_and_says_the_time_left(account: Account, server: SmtpServer) -> None:
    server.refuse("RCPT", "451 4.2.0 Later")
    response = api.send(account.pk, "bob@example.test", "Hello", "A text.")
    assert response.data and response.data.next_attempt_at and response.error and response.error.code == "Provider"
    pk = response.data.outbox_id

    for refused in (api.retry_outbox(pk), api.request_retry(pk, user=None)):
        assert refused.error and refused.error.code == "Validation"
        assert message(refused).startswith("retry_not_due") and " s" in message(refused)
        assert refused.data and refused.data.status == "failed"
    assert OutboxMessage.objects.get().attempts.count() == 1


def test_send_now_anyway_is_recorded_with_who_did_it(
    account: Account, server: SmtpServer, make_user: Callable[..., User]
) -> None:
    server.refuse("RCPT", "451 4.2.0 Later", times=1)
    response = api.send(account.pk, "bob@example.test", "Hello", "A text.")
    assert response.data
    pk, ann = response.data.outbox_id, make_user("operator")

    assert api.request_retry(pk, user=ann, now_anyway=True).ok
    deliver.deliver_account(account.pk)

    row = OutboxMessage.objects.get()
    assert (row.status, row.retries) == ("sent", 1)
    assert row.provider_message_id == f"<outbox-{pk}-1@prx-email.local>"
    assert row.attempts.order_by("-number")[0].requested_by == ann
    assert AuditEntry.objects.filter(verb="send_now", target=f"outbox:{pk}", user=ann).count() == 1


@pytest.mark.parametrize("status", ["sent", "cancelled", "sending"])
def test_what_is_not_waiting_is_not_retryable(account: Account, status: str) -> None:
    row, now = queued(account), timezone.now()
    claim = {"claim_token": "t", "lease_expires_at": now} if status == "sending" else {}
    OutboxMessage.objects.update(status=status, **claim)

    for response in (api.retry_outbox(row.pk), api.request_retry(row.pk, user=None), api.cancel(row.pk, user=None)):
        assert response.error and response.error.code == "Validation"
    assert message(api.retry_outbox(row.pk)).startswith("not retryable")


def test_a_click_on_an_uncertain_mail_asks_to_choose(account: Account, server: SmtpServer) -> None:
    server.on(".", Drop())
    response = api.send(account.pk, "bob@example.test", "Hello", "A text.")
    assert response.data
    pk = response.data.outbox_id

    assert "Choose" in message(api.retry_outbox(pk, now_anyway=True))
    assert "Choose" in message(api.request_retry(pk, user=None, now_anyway=True))
    assert api.mark_as_sent(pk, newest_attempt(pk), user=None).ok
    assert api.mark_as_sent(pk, newest_attempt(pk), user=None).error


def test_sign_in_comes_before_a_retry(account: Account, server: SmtpServer) -> None:
    server.refuse("AUTH", "535 5.7.8 No")
    response = api.send(account.pk, "bob@example.test", "Hello", "A text.")
    assert response.data

    assert "credentials" in message(api.retry_outbox(response.data.outbox_id))


def test_a_refusal_for_good_is_retried_by_a_click(account: Account, server: SmtpServer) -> None:
    server.refuse("RCPT", "550 5.1.1 No such user", times=1)
    response = api.send(account.pk, "bob@example.test", "Hello", "A text.")
    assert response.data and response.data.next_attempt_at is None
    deliver.deliver_account(account.pk)
    assert server.mails() == []

    assert api.retry_outbox(response.data.outbox_id).ok
    assert len(server.mails()) == 1


def test_a_cancelled_mail_stays_cancelled(account: Account, server: SmtpServer) -> None:
    row = queued(account)

    assert api.cancel(row.pk, user=None).ok
    deliver.deliver_account(account.pk)

    row.refresh_from_db()
    assert row.status == "cancelled" and server.connections == 0


def test_a_switched_off_account_refuses_new_mail(account: Account) -> None:
    Account.objects.update(send_enabled=False)

    response = api.queue(account.pk, "bob@example.test", "Hello", "A text.")

    assert response.error and response.error.code == "FeatureDisabled" and not OutboxMessage.objects.exists()


def test_an_idempotency_key_makes_one_mail(account: Account, server: SmtpServer) -> None:
    answers: list[api.ApiResponse] = []

    def click() -> None:
        answers.append(api.queue(account.pk, "bob@example.test", "Hello", "A text.", idempotency_key="k"))
        connections.close_all()

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(answer.ok for answer in answers), answers
    assert OutboxMessage.objects.count() == 1
    assert api.send(account.pk, "bob@example.test", "Hello", "A text.", idempotency_key="k").ok
    assert api.send(account.pk, "bob@example.test", "Hello", "A text.", idempotency_key="k").ok
    assert len(server.mails()) == 1


@pytest.mark.parametrize("mode", ["network", "provider"])
def test_a_drill_fails_before_connecting_and_is_marked(account: Account, server: SmtpServer, mode: str) -> None:
    response = api.send(account.pk, "bob@example.test", "Hello", "A text.", failure_mode=mode)

    assert response.error and response.error.code == mode.capitalize() and "drill" in response.error.message
    row = OutboxMessage.objects.get()
    assert (row.status, row.hold, row.retries, server.connections) == ("failed", "", 1, 0)
    assert row.attempts.get().failure_mode == mode
    assert api.retry_outbox(row.pk, now_anyway=True).ok
    assert row.attempts.order_by("-number")[0].failure_mode == ""


def test_only_staff_may_ask_for_a_drill(account: Account, make_user: Callable[..., User]) -> None:
    ann = make_user("operator")

    assert "staff" in message(api.send(account.pk, "b@example.test", "S", "T", failure_mode="network", user=ann))
    assert "network or provider" in message(api.send(account.pk, "b@example.test", "S", "T", failure_mode="x"))
    assert not OutboxMessage.objects.exists()


def test_bad_requests_are_refused_with_what_to_do(account: Account) -> None:
    assert "add it first" in message(api.send(999, "bob@example.test", "Hello", "A text."))
    assert "outbox row" in message(api.retry_outbox(999))
    assert "sync" in message(api.reply(account.pk, "<nothing@x>", "A text."))
    assert "Message-ID" in message(api.reply(account.pk, "", "A text."))
    attachment = AttachmentInput("a.exe", "application/x-msdownload", content=b"x")
    assert message(api.send(account.pk, "b@example.test", "S", "T", attachment)) == (
        "attachment content type is not allowed"
    )
    assert not OutboxMessage.objects.exists()


def test_a_reply_goes_to_the_parents_sender_in_its_thread(account: Account, server: SmtpServer) -> None:
    parent = Message.objects.create(
        account=account, message_id="<p@x>", subject="Plan", sender="Bob <bob@example.test>",
        sender_address="bob@example.test", references_header="<a@x>", received_at=timezone.now(), raw_digest="0" * 64,
    )  # fmt: skip

    assert api.reply(account.pk, "p@x", "Fine.").ok

    row = OutboxMessage.objects.get()
    assert (row.to, row.subject, row.parent) == ("Bob <bob@example.test>", "Re: Plan", parent)
    raw = server.mails()[0].raw
    assert b"\r\nIn-Reply-To: <p@x>\r\nReferences: <a@x>\r\n <p@x>\r\n" in raw
    Message.objects.update(sender="", sender_address="")
    assert "no sender" in message(api.reply(account.pk, "<p@x>", "Fine."))


def test_a_foreground_send_waits_for_the_worker_that_holds_the_account(account: Account, server: SmtpServer) -> None:
    from mailbox.models import Lease

    token = Lease.acquire(account.pk, "send", "elsewhere/1", seconds=60, now=timezone.now())
    assert token
    row = queued(account)
    threading.Timer(0.5, lambda: (Lease.release(account.pk, "send", token), connections.close_all())).start()

    deliver.deliver_one(row.pk, patience=20)

    row.refresh_from_db()
    assert row.status == "sent"


def test_a_foreground_send_answers_with_what_stands_when_the_account_stays_taken(account: Account) -> None:
    from mailbox.models import Lease

    Lease.acquire(account.pk, "send", "elsewhere/1", seconds=60, now=timezone.now() + timedelta(seconds=1))
    row = queued(account)

    deliver.deliver_one(row.pk, patience=0.3)

    row.refresh_from_db()
    assert row.status == "pending"
