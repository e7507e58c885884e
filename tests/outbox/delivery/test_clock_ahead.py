"""A host whose clock was ahead is right again: what it locked for a year is free within a sweep."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from mailbox.models import Account, Lease
from outbox import api
from outbox.delivery import claims, clock_ahead, deliver, recovery
from outbox.models import OutboxMessage, SendPace, SentCopy, SentLookup
from outbox.retry import policy as retry_policy
from outbox.tasks import delivery as delivery_tasks
from tests.rows import NOWHERE, attempt, outbox_row
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
YEAR = timedelta(days=365)
Accounts = Callable[..., Account]
Start = Callable[..., SmtpServer]


@pytest.fixture
def ahead() -> datetime:
    return timezone.now() + YEAR


def test_a_claim_of_a_clock_that_was_ahead_is_given_back_and_goes_out(
    account_on: Accounts, smtp_server: Start, ahead: datetime
) -> None:
    server = smtp_server("tls")
    account = account_on(server)
    assert api.queue(account.pk, "ann@example.test", "Hello", "A text.").ok
    OutboxMessage.objects.update(next_attempt_at=ahead - YEAR)
    claim = claims.claim_next(account.pk, "ahead/1", lease_seconds=30, now=ahead)
    assert claim and Lease.acquire(account.pk, "send", "ahead/1", seconds=15, now=ahead)

    delivery_tasks.sweep()
    deliver.deliver_account(account.pk)

    row = OutboxMessage.objects.get()
    assert (row.status, row.attempts.count()) == ("sent", 2) and len(server.mails()) == 1


def test_one_that_had_begun_data_is_a_question(make_account: Accounts, ahead: datetime) -> None:
    account = make_account(**NOWHERE)
    assert api.queue(account.pk, "ann@example.test", "Hello", "A text.").ok
    claim = claims.claim_next(account.pk, "ahead/1", lease_seconds=30, now=ahead)
    assert claim and claims.commit_dot(claim, {}, [], lease_seconds=60, now=ahead)
    assert recovery.recover(timezone.now()) == (0, 1)
    assert OutboxMessage.objects.get().hold == "uncertain"


def test_a_claim_of_a_clock_that_is_a_little_ahead_stands(make_account: Accounts) -> None:
    account = make_account(**NOWHERE)
    assert api.queue(account.pk, "ann@example.test", "Hello", "A text.").ok
    claims.claim_next(account.pk, "ahead/1", lease_seconds=30, now=timezone.now() + timedelta(seconds=30))
    assert recovery.recover(timezone.now()) == (0, 0)


def test_the_senders_right_to_an_account_is_taken_from_a_clock_that_was_ahead_without_a_sweep(
    account_on: Accounts, smtp_server: Start, ahead: datetime
) -> None:
    account = account_on(smtp_server("tls"))
    assert api.queue(account.pk, "ann@example.test", "Hello", "A text.").ok
    assert Lease.acquire(account.pk, "send", "ahead/1", seconds=15, now=ahead)
    assert deliver.deliver_account(account.pk).sent == 1


def test_a_wait_longer_than_any_backoff_is_cut_unless_a_person_chose_the_time(
    make_account: Accounts, ahead: datetime
) -> None:
    account, now = make_account(**NOWHERE), timezone.now()
    longest = timedelta(seconds=retry_policy.backoff_seconds(10, 5))
    backoff = outbox_row(account, "Backoff", status="failed", next_attempt_at=now + longest - timedelta(minutes=1))
    stuck = outbox_row(account, "Stuck", status="failed", next_attempt_at=ahead)
    unsent = outbox_row(account, "Never tried", next_attempt_at=ahead)
    overdue = outbox_row(account, "Its time is past", send_at=now - timedelta(days=1), next_attempt_at=ahead)
    chosen = outbox_row(account, "Next year", send_at=ahead, next_attempt_at=ahead)
    held = outbox_row(account, "Held", status="failed", hold="permanent", next_attempt_at=ahead)

    assert clock_ahead.cut(now) == 3

    due = set(OutboxMessage.objects.due(now).values_list("pk", flat=True))
    assert due == {stuck.pk, unsent.pk, overdue.pk}
    for row in (backoff, chosen, held):
        before = row.next_attempt_at
        row.refresh_from_db()
        assert row.next_attempt_at == before


def test_servers_rate_limits_and_the_work_in_sent_are_free_again(make_account: Accounts, ahead: datetime) -> None:
    account, now = make_account(**NOWHERE), timezone.now()
    account.messages_per_minute = 6
    account.save()
    row = outbox_row(account, "Question", status="failed", hold="uncertain")
    account.smtp.mark_unavailable("Later", ahead)
    SendPace.objects.create(account=account, next_at=ahead)
    SentLookup.objects.create(attempt=attempt(row), uncertain_at=now, next_look_at=ahead, lease_expires_at=ahead)
    SentCopy.objects.update_or_create(outbox=row, defaults={"next_try_at": ahead, "lease_expires_at": ahead})
    assert Lease.acquire(account.pk, "sent", "ahead/1", seconds=300, now=ahead)
    assert not deliver.may_send(account.pk, now)

    clock_ahead.cut(now)

    assert deliver.may_send(account.pk, now) and not Lease.objects.exists()
    assert SendPace.objects.get().next_at == now
    assert SentLookup.objects.due(now).count() == 1
    assert SentCopy.objects.filter(next_try_at__lte=now, lease_expires_at=None).count() == 1


def test_nothing_that_a_clock_which_is_right_has_written_is_cut(make_account: Accounts) -> None:
    account, now = make_account(**NOWHERE), timezone.now()
    account.smtp.mark_unavailable("Later", now + timedelta(hours=1))
    SendPace.objects.create(account=account, next_at=now + timedelta(seconds=60))
    assert Lease.acquire(account.pk, "send", "right/1", seconds=15, now=now)
    assert clock_ahead.cut(now) == 0
