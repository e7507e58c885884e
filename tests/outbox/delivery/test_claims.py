"""The state machine under contention: one winner, leases that lapse, a database that fails at the wrong moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone

from mailbox.models import Account, Lease
from outbox import api
from outbox.delivery import claims, deliver, finalization, outcomes, recovery
from outbox.delivery.claims import Claim
from outbox.models import DeliveryAttempt, OutboxMessage
from outbox.tasks import delivery as delivery_tasks
from tests.rows import newest_attempt
from tests.servers import MAILBOX_PASSWORD
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Hold

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]


@pytest.fixture
def account(make_account: Accounts) -> Account:
    return make_account(imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)


def queued(account: Account, to: str = "bob@example.test") -> OutboxMessage:
    response = api.queue(account.pk, to, "Hello", "A text.")
    assert response.ok and response.data, response
    return OutboxMessage.objects.get(pk=response.data.outbox_id)


def claim(row: OutboxMessage, now: datetime | None = None) -> Claim | None:
    return claims.claim_row(row.pk, "test/1", lease_seconds=60, now=now or timezone.now())


def test_of_many_threads_that_claim_a_row_one_wins(account: Account) -> None:
    row = queued(account)
    barrier, won = threading.Barrier(8), list[Claim]()

    def race() -> None:
        barrier.wait()
        if claimed := claim(row):
            won.append(claimed)
        connections.close_all()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert DeliveryAttempt.objects.count() == 1
    row.refresh_from_db()
    assert (row.status, row.former_status, row.claim_token) == ("sending", "pending", won[0].token)


def test_a_row_is_claimed_only_when_due_and_without_a_hold(account: Account) -> None:
    row = queued(account)
    now = timezone.now()
    OutboxMessage.objects.update(next_attempt_at=now + timedelta(seconds=1))
    assert claim(row, now) is None
    OutboxMessage.objects.update(next_attempt_at=now, status="failed", hold="permanent")
    assert claim(row, now) is None
    OutboxMessage.objects.update(hold="")
    assert claim(row, now) is not None


def test_a_worker_that_died_before_data_gives_the_row_back(account: Account) -> None:
    row, now = queued(account), timezone.now()
    assert claim(row, now)

    assert recovery.recover(now + timedelta(seconds=59)) == (0, 0)
    assert recovery.recover(now + timedelta(seconds=60)) == (1, 0)

    row.refresh_from_db()
    assert (row.status, row.retries, row.claim_token, row.lease_expires_at) == ("pending", 0, "", None)
    assert row.attempts.get().outcome == "abandoned"
    assert claim(row, now + timedelta(seconds=61))


def test_a_row_that_says_no_former_state_is_given_back_as_pending_and_stops_no_other(account: Account) -> None:
    rows, now = [queued(account), queued(account)], timezone.now()
    assert all(claim(row, now) for row in rows)
    OutboxMessage.objects.filter(pk=rows[0].pk).update(former_status="")

    assert recovery.recover(now + timedelta(seconds=60)) == (2, 0)
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {"pending"}


def test_a_worker_that_died_after_data_leaves_a_question(account: Account) -> None:
    row, now = queued(account), timezone.now()
    claimed = claim(row, now)
    assert claimed and claims.commit_dot(claimed, {}, [], lease_seconds=60, now=now)

    assert recovery.recover(now + timedelta(seconds=60)) == (0, 1)

    row.refresh_from_db()
    assert (row.status, row.hold, row.retries) == ("failed", "uncertain", 0)
    assert claim(row, now + timedelta(hours=1)) is None


def test_data_is_not_committed_on_a_claim_that_was_recovered(account: Account) -> None:
    row, now = queued(account), timezone.now()
    first = claim(row, now)
    recovery.recover(now + timedelta(seconds=60))
    second = claim(row, now + timedelta(seconds=61))

    assert first and second
    assert not claims.commit_dot(first, {}, [], lease_seconds=60, now=now + timedelta(seconds=62))
    assert not claims.extend(first, "rcpt", lease_seconds=60, now=now + timedelta(seconds=62))
    assert claims.commit_dot(second, {}, [], lease_seconds=60, now=now + timedelta(seconds=62))
    assert not claims.commit_dot(second, {}, [], lease_seconds=60, now=now + timedelta(seconds=62))


def send_in_thread(row: OutboxMessage) -> threading.Thread:
    def run() -> None:
        deliver.deliver_account(row.account_id)
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_lease_that_lapses_before_the_dot_makes_the_attempt_leave_without_sending(
    account_on: Accounts, smtp_server: Start
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on("RCPT", hold)
    row = queued(account_on(server))
    thread = send_in_thread(row)
    assert hold.reached.wait(10)

    recovery.recover(timezone.now() + timedelta(hours=1))
    hold.release()
    thread.join(20)

    row.refresh_from_db()
    assert server.mails() == [] and "." not in server.commands
    assert (row.status, row.attempts.get().outcome) == ("pending", "abandoned")


def test_a_lease_that_lapses_after_the_dot_is_settled_by_the_attempt_that_still_lives(
    account_on: Accounts, smtp_server: Start
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on(".", hold)
    row = queued(account_on(server))
    thread = send_in_thread(row)
    assert hold.reached.wait(10)

    recovery.recover(timezone.now() + timedelta(hours=1))
    row.refresh_from_db()
    assert (row.status, row.hold) == ("failed", "uncertain")
    hold.release()
    thread.join(20)

    row.refresh_from_db()
    assert (row.status, row.hold) == ("sent", "")
    assert row.attempts.get().outcome == "accepted" and len(server.mails()) == 1


def test_an_attempt_does_not_settle_what_a_person_has_sent_again(account: Account) -> None:
    row, now = queued(account), timezone.now()
    first = claim(row, now)
    assert first and claims.commit_dot(first, {}, [], lease_seconds=1, now=now)
    recovery.recover(now + timedelta(seconds=2))
    assert api.send_again(row.pk, newest_attempt(row.pk), user=None).ok
    second = claim(row, timezone.now())
    assert second and second.message_id == first.message_id and second.prx_attempt != first.prx_attempt

    from outbox.retry.policy import RetryLimits, settle_answered

    settled = settle_answered(first.tried, [], is_accepted=True, limits=RetryLimits(5, timedelta(days=5)), now=now)
    assert not finalization.finalize(first, outcomes.AttemptOutcome(settled, "250 ok"), now=now)
    row.refresh_from_db()
    assert (row.status, row.claim_token) == ("sending", second.token)


def test_finalize_is_tried_again_through_database_errors(account_on: Accounts, smtp_server: Start) -> None:
    """The database really refuses: each write to the row's table fails until the third try of the outcome."""
    server = smtp_server("tls")
    row = queued(account_on(server))
    failures = []

    def refuse_finalize(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        if sql.startswith("UPDATE") and '"outbox"' in sql and '"sent_at"' in sql and len(failures) < 3:
            failures.append(sql)
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse_finalize):
        deliver.deliver_account(row.account_id)

    row.refresh_from_db()
    assert len(failures) >= 1 and row.status == "sent"
    assert len(server.mails()) == 1 and row.attempts.get().outcome == "accepted"


def test_one_session_carries_many_rows(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    rows = [queued(account, f"u{n}@example.test") for n in range(5)]
    server.refuse("RCPT", "550 5.1.1 No such user", containing="u2@")

    report = deliver.deliver_account(account.pk)

    assert (report.attempted, report.sent, server.connections) == (5, 4, 1)
    assert [OutboxMessage.objects.get(pk=row.pk).status for row in rows] == ["sent", "sent", "failed", "sent", "sent"]
    assert not Lease.objects.exists()


def test_while_another_sender_has_the_account_a_worker_leaves(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    row = queued(account_on(server))
    Lease.acquire(row.account_id, "send", "elsewhere/1", seconds=60, now=timezone.now())

    assert deliver.deliver_account(row.account_id).attempted == 0
    assert server.connections == 0


def test_a_server_that_is_away_costs_the_queue_one_attempt(account: Account) -> None:
    rows = [queued(account) for _ in range(3)]

    deliver.deliver_account(account.pk)

    states = [OutboxMessage.objects.get(pk=row.pk) for row in rows]
    assert [row.retries for row in states] == [1, 0, 0]
    assert [row.status for row in states] == ["failed", "pending", "pending"]
    account.smtp.refresh_from_db()
    assert account.smtp.next_allowed_at and all(row.next_attempt_at == account.smtp.next_allowed_at for row in states)
    assert deliver.accounts_with_due_rows(timezone.now()) == []
    assert deliver.accounts_with_due_rows(timezone.now() + timedelta(seconds=11)) == [account.pk]


def test_a_long_queue_is_put_off_in_parts(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 rows in one statement took a second, in which nothing of other accounts was sent or written."""
    rows, postpone, parts = [queued(account) for _ in range(6)], recovery.postpone_queue, []

    def note(*arguments: Any) -> int:
        parts.append(postpone(*arguments))
        return parts[-1]

    monkeypatch.setattr(recovery, "POSTPONED_AT_ONCE", 2)
    monkeypatch.setattr(recovery, "postpone_queue", note)
    deliver.deliver_account(account.pk)
    assert parts == [2, 2, 1]  # the first of the six was tried
    account.smtp.refresh_from_db()
    later = OutboxMessage.objects.filter(pk__in=[row.pk for row in rows], next_attempt_at=account.smtp.next_allowed_at)
    assert later.count() == 6


def test_a_refused_sign_in_parks_the_queue_until_the_credentials_change(
    account_on: Accounts, smtp_server: Start
) -> None:
    server = smtp_server("tls")
    account = account_on(server, smtp_password="wrong")
    rows = [queued(account) for _ in range(3)]

    deliver.deliver_account(account.pk)
    deliver.deliver_account(account.pk)

    held = [(row.status, row.hold, row.retries) for row in OutboxMessage.objects.order_by("pk")]
    assert held == [("failed", "sign_in", 0), ("pending", "", 0), ("pending", "", 0)]
    assert server.connections == 1
    account.smtp.refresh_from_db()
    account.smtp.password = MAILBOX_PASSWORD
    account.smtp.save()
    delivery_tasks.queue_sign_in_recovered(account.pk)
    deliver.deliver_account(account.pk)
    assert [OutboxMessage.objects.get(pk=row.pk).status for row in rows] == ["sent"] * 3


def test_nothing_is_claimed_while_sending_is_paused(account_on: Accounts, smtp_server: Start) -> None:
    from outbox.models import SendingSwitch

    server = smtp_server("tls")
    row = queued(account_on(server))
    SendingSwitch.current()
    SendingSwitch.objects.update(paused_at=timezone.now())
    deliver.deliver_account(row.account_id)
    assert api.send(row.account_id, "bob@example.test", "Now", "A text.").error
    assert (server.connections, OutboxMessage.objects.queued().count()) == (0, 2)
    SendingSwitch.objects.update(paused_at=None)
    Account.objects.update(sending_paused_at=timezone.now())
    deliver.deliver_account(row.account_id)
    assert server.connections == 0
    Account.objects.update(sending_paused_at=None)
    deliver.deliver_account(row.account_id)
    assert OutboxMessage.objects.sent().count() == 2


def test_a_row_whose_stored_mail_is_gone_waits_for_a_person_and_the_next_goes_out(
    account_on: Accounts, smtp_server: Start
) -> None:
    server = smtp_server("tls")
    account = account_on(server)
    broken, good = queued(account), queued(account)
    OutboxMessage.objects.filter(pk=broken.pk).update(mime_digest="0" * 64)

    deliver.deliver_account(account.pk)

    broken.refresh_from_db()
    good.refresh_from_db()
    assert (broken.status, broken.hold, broken.error_code) == ("failed", "permanent", "Storage")
    assert good.status == "sent"
