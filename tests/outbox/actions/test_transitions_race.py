"""A person clicks while a worker is at it: the answer is what then happens, and no click makes a second copy."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from mailbox.models import Account, AuditEntry
from outbox import api
from outbox.actions import bulk as actions_bulk
from outbox.actions import estimate
from outbox.actions.filters import OutboxFilters
from outbox.api import ApiResponse
from outbox.delivery import claims, deliver, recovery
from outbox.models import OutboxMessage, SendingSwitch
from tests.rows import newest_attempt
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Fault, Hold, Reply

pytestmark = [pytest.mark.django_db(transaction=True)]
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]
Click = Callable[[int], ApiResponse]
CLICKS: dict[str, Click] = {
    "cancel": lambda pk: api.cancel(pk, user=None),
    "undo": lambda pk: api.undo(pk, user=None),
    "retry": lambda pk: api.request_retry(pk, user=None),
    "send now anyway": lambda pk: api.request_retry(pk, user=None, now_anyway=True),
    "send again": lambda pk: api.send_again(pk, newest_attempt(pk), user=None),
    "mark as sent": lambda pk: api.mark_as_sent(pk, newest_attempt(pk), user=None),
    "another time": lambda pk: api.reschedule(pk, timezone.now() + timedelta(days=1), user=None),
}


def queued(account: Account, count: int = 1) -> list[OutboxMessage]:
    for number in range(count):
        assert api.queue(account.pk, f"u{number}@example.test", f"Mail {number}", "A text.").ok
    return list(OutboxMessage.objects.order_by("pk"))


def at_work(account: Account) -> threading.Thread:
    def work() -> None:
        try:
            deliver.deliver_account(account.pk)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def at_work_beyond_its_lease(account: Account, hold: Hold) -> tuple[threading.Thread, datetime]:
    """A worker whose lease lapses while it waits for the server, and the time at which it has."""
    worker = at_work(account)
    assert hold.reached.wait(20)
    later = timezone.now() + timedelta(hours=1)
    recovery.recover(later)
    return worker, later


def copies(server: SmtpServer) -> dict[str, int]:
    found: dict[str, int] = {}
    for mail in server.mails():
        found[mail.rcpt_tos[0]] = found.get(mail.rcpt_tos[0], 0) + 1
    return found


@pytest.mark.parametrize("click", CLICKS)
@pytest.mark.parametrize("command", ["EHLO", "MAIL", "RCPT", "DATA", "."])
def test_a_click_on_a_mail_that_is_being_sent_is_refused_and_changes_nothing(
    account_on: Accounts, smtp_server: Start, command: str, click: str
) -> None:
    server, hold = smtp_server("tls", pipelining=True), Hold()
    server.on(command, hold, times=1)
    account = account_on(server)
    (row,) = queued(account)
    worker = at_work(account)
    assert hold.reached.wait(20)
    before = OutboxMessage.objects.values().get(pk=row.pk)

    answer = CLICKS[click](row.pk)

    assert not answer.ok and answer.error and answer.error.message
    assert OutboxMessage.objects.values().get(pk=row.pk) == before
    assert not AuditEntry.objects.filter(target=f"outbox:{row.pk}").exclude(verb="send").exists()
    hold.release()
    worker.join(20)
    row.refresh_from_db()
    assert row.status == "sent" and len(server.mails()) == 1


@pytest.mark.parametrize("command", ["RCPT", "."])
def test_a_click_on_a_mail_that_is_not_asked_for_is_refused(
    account_on: Accounts, smtp_server: Start, command: str
) -> None:
    """And on those that are claimed ahead of it: they are a moment from being sent."""
    server, hold = smtp_server("tls", pipelining=True), Hold()
    server.on(command, hold, containing="u1@", times=1)
    account = account_on(server)
    rows = queued(account, 4)
    worker = at_work(account)
    assert hold.reached.wait(20)
    answers = [api.cancel(row.pk, user=None).ok for row in rows[:3]]
    hold.release()
    worker.join(20)
    assert answers == [False, False, False]
    assert set(copies(server).values()) == {1} and len(copies(server)) == 4


def test_of_many_mails_cancelled_while_they_go_out_each_is_either_cancelled_or_sent(
    account_on: Accounts, smtp_server: Start
) -> None:
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    rows = queued(account, 40)
    begun = threading.Event()
    server.deliver = lambda mail: begun.set()
    worker = at_work(account)
    assert begun.wait(20)
    order = rows[:]
    random.Random(7).shuffle(order)
    answers = {row.pk: api.cancel(row.pk, user=None).ok for row in order}
    worker.join(60)

    taken = copies(server)
    for number, row in enumerate(rows):
        row.refresh_from_db()
        assert (row.status, taken.get(f"u{number}@example.test", 0)) == (
            ("cancelled", 0) if answers[row.pk] else ("sent", 1)
        )
    assert set(taken.values()) == {1}


def test_all_that_match_cancelled_while_they_go_out_is_counted_as_it_was(
    account_on: Accounts, smtp_server: Start, make_user: Callable[..., User]
) -> None:
    server, hold = smtp_server("tls", pipelining=True), Hold()
    server.on(".", hold, containing="u3@", times=1)
    account, user = account_on(server), make_user("administrator")
    rows = queued(account, 20)
    worker = at_work(account)
    assert hold.reached.wait(20)
    asked = estimate.ask(OutboxFilters(), "cancel", user, timezone.now(), estimate.operated_by(user))[0]
    operation = actions_bulk.begin(asked, user, timezone.now())
    assert operation
    actions_bulk.run(operation.pk)
    hold.release()
    worker.join(60)

    operation.refresh_from_db()
    taken = copies(server)
    cancelled = OutboxMessage.objects.filter(status="cancelled").count()
    assert (operation.done, cancelled + len(taken)) == (cancelled, len(rows))
    assert cancelled > 0 and set(taken.values()) == {1}
    assert OutboxMessage.objects.filter(status="sent").count() == len(taken)


@pytest.mark.parametrize("click", CLICKS)
def test_a_click_in_the_instant_before_the_claim_is_what_the_claim_finds(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch, click: str
) -> None:
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    first, second = queued(account, 2)
    claim_some, answers = claims.claim_some, list[ApiResponse]()

    def claim_after_the_click(*args: Any, **options: Any) -> list[claims.Claim]:
        if not answers:
            answers.append(CLICKS[click](first.pk))
        return claim_some(*args, **options)

    monkeypatch.setattr(claims, "claim_some", claim_after_the_click)
    deliver.deliver_account(account.pk)

    first.refresh_from_db()
    second.refresh_from_db()
    held_back = {"cancel": "cancelled", "another time": "pending"}.get(click) if answers[0].ok else None
    assert (first.status, copies(server).get("u0@example.test", 0)) == ((held_back, 0) if held_back else ("sent", 1))
    assert (second.status, copies(server)["u1@example.test"]) == ("sent", 1)
    assert answers[0].ok is (click not in ("undo", "send again", "mark as sent")), answers


@pytest.mark.parametrize("what", ["an account", "everything"])
def test_a_pause_lets_the_mail_in_hand_end_and_begins_no_other(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(deliver, "MAY_SEND_SECONDS", 0.0)
    server, hold = smtp_server("tls", pipelining=True), Hold()
    server.on(".", hold, containing="u1@", times=1)
    account = account_on(server)
    rows = queued(account, 4)
    worker = at_work(account)
    assert hold.reached.wait(20)
    if what == "everything":
        SendingSwitch.objects.update_or_create(pk=1, defaults={"paused_at": timezone.now()})
    else:
        Account.objects.filter(pk=account.pk).update(sending_paused_at=timezone.now())
    hold.release()
    worker.join(20)
    assert [OutboxMessage.objects.get(pk=row.pk).status for row in rows] == ["sent", "sent", "pending", "pending"]
    assert copies(server) == {"u0@example.test": 1, "u1@example.test": 1}


@pytest.mark.parametrize("fault", [None, Reply("552 5.2.2 Full")], ids=["250", "552"])
def test_an_attempt_that_wakes_up_after_a_person_has_marked_its_mail_as_sent_only_tells_what_it_heard(
    account_on: Accounts, smtp_server: Start, fault: Fault | None
) -> None:
    """Its lease lapsed while it waited (the worker was stopped): the person's word stands, nothing goes out again."""
    server, hold = smtp_server("tls"), Hold()
    hold.then = fault
    server.on(".", hold, times=1)
    account = account_on(server)
    (row,) = queued(account)
    worker, later = at_work_beyond_its_lease(account, hold)
    assert api.mark_as_sent(row.pk, newest_attempt(row.pk), user=None).ok
    hold.release()
    worker.join(20)

    row.refresh_from_db()
    attempt = row.attempts.get()
    assert (row.status, row.hold) == ("sent", "")
    assert (attempt.outcome, attempt.reply_code) == (("permanent", 552) if fault else ("accepted", 250))
    deliver.deliver_account(account.pk, clock=lambda: later)
    assert len(server.mails()) == (0 if fault else 1)


def test_an_attempt_that_wakes_up_after_send_again_makes_the_one_copy_that_was_chosen_and_no_third(
    account_on: Accounts, smtp_server: Start
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on(".", hold, times=1)
    account = account_on(server)
    (row,) = queued(account)
    worker, later = at_work_beyond_its_lease(account, hold)
    assert api.send_again(row.pk, newest_attempt(row.pk), user=None).ok
    deliver.deliver_account(account.pk, clock=lambda: later)  # another worker: the first one's lease is over
    assert len(server.mails()) == 1
    hold.release()
    worker.join(20)

    row.refresh_from_db()
    assert (row.status, row.hold, row.retries) == ("sent", "", 0)
    assert [attempt.outcome for attempt in row.attempts.order_by("number")] == ["accepted", "accepted"]
    deliver.deliver_account(account.pk, clock=lambda: later + timedelta(hours=1))
    assert len(server.mails()) == 2 and len(server.copies()) == 1  # one Message-ID, for who compares them
