"""What waits for workers is found by account without reading all rows that the account ever sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from mailbox.accounts.needing import in_trouble
from mailbox.db.literals import Literal
from mailbox.models import Account
from outbox.delivery import clock_ahead, deliver
from outbox.delivery.recovery import postpone_queue
from outbox.models import OutboxMessage, SentCopy
from outbox.sent_folder import copy
from outbox.views.account_figures import figures
from prx_email_site.signal_receivers import waiting_mail_asked
from tests.query_plans import plan_of, statements
from tests.rows import outbox_row

pytestmark = pytest.mark.django_db
QUESTIONS: dict[str, Callable[[int, datetime], Any]] = {
    "figures in the list of accounts": lambda pk, now: figures([pk], now, is_list=True),
    "figures of an account": lambda pk, now: figures([pk], now, is_list=False),
    "accounts in trouble": lambda pk, now: list(Account.objects.filter(in_trouble(now))),
    "before an account is deleted": lambda pk, now: waiting_mail_asked([pk]),
    "whether mail is due": lambda pk, now: deliver._has_work(pk, now),
    "accounts with mail that is due": lambda pk, now: deliver.accounts_with_due_rows(now),
    "a queue put off": lambda pk, now: postpone_queue(pk, now),
    "waits that a wrong clock wrote": lambda pk, now: clock_ahead.cut(now),
}
COPIES: dict[str, Callable[[int, datetime], Any]] = {
    "accounts with copies that are due": lambda pk, now: copy.accounts_due(now),
    "the next copies of an account": lambda pk, now: copy._due(pk, now),
    "copies put off": lambda pk, now: copy._postpone_all(pk, "away", now),
    "copies of cancelled mail": lambda pk, now: copy.forget_cancelled(now),
    "copies that an account no longer wants": lambda pk, now: copy._unwanted(_without_copies(pk), now),
}
BY_SQLITE = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL chooses by its statistics.")


def _without_copies(pk: int) -> Account:
    Account.objects.filter(pk=pk).update(sent_copy="never")
    return Account.objects.with_transports().get(pk=pk)


@BY_SQLITE
@pytest.mark.parametrize("question", COPIES)
def test_copies_that_wait_are_found_by_their_own_index(make_account: Callable[..., Account], question: str) -> None:
    account = make_account()
    with statements() as seen:
        COPIES[question](account.pk, timezone.now())
    plans = [plan_of(each) for each in seen if "'waiting'" in each[0]]
    assert plans and all(any("sent_copy_waiting" in line for line in plan) for plan in plans)
    assert not any("USING INDEX outbox_" in line and "recipients" not in line for plan in plans for line in plan)


def test_copies_are_due_where_somebody_got_the_mail(make_account: Callable[..., Account]) -> None:
    first, second = make_account("ann@example.com"), make_account("bob@example.com")
    now = timezone.now()
    made = {}
    for account in (first, second):
        for status, recipient in (("sent", "accepted"), ("pending", "pending"), ("cancelled", "pending")):
            row = outbox_row(account, status=status)
            row.recipients.update(status=recipient)
            made[account, status] = SentCopy.objects.create(outbox=row, next_try_at=now).pk
    assert copy.accounts_due(now) == [first.pk, second.pk]
    assert copy._due(second.pk, now)[:1] == [made[second, "sent"]]
    assert copy.forget_cancelled(now) == 2
    copy._unwanted(_without_copies(first.pk), now)
    assert copy.accounts_due(now) == [second.pk]
    waiting = SentCopy.objects.filter(state="waiting").values_list("pk", flat=True)
    assert set(waiting) == {made[second, "sent"], made[second, "pending"]}


@BY_SQLITE
@pytest.mark.parametrize("question", QUESTIONS)
def test_rows_that_wait_are_found_by_their_own_index(make_account: Callable[..., Account], question: str) -> None:
    account = make_account()
    with statements() as seen:
        QUESTIONS[question](account.pk, timezone.now())
    plans = [plan_of(each) for each in seen if "'pending'" in each[0]]
    assert plans and all(any("outbox_waiting" in line for line in plan) for plan in plans)
    assert not any("outbox_newest_of_account" in line for plan in plans for line in plan)


def test_they_are_those_that_wait(make_account: Callable[..., Account]) -> None:
    account, later = make_account(), timezone.now() + timedelta(days=9)
    waiting = {
        outbox_row(account).pk,
        outbox_row(account, next_attempt_at=later).pk,
        outbox_row(account, status="failed").pk,
    }
    outbox_row(account, status="failed", hold="permanent")
    for status in ("sent", "cancelled"):
        outbox_row(account, status=status)
    assert set(OutboxMessage.objects.waiting_of_accounts().values_list("pk", flat=True)) == waiting
    assert figures([account.pk], timezone.now(), is_list=True)[account.pk].queued == len(waiting)
    assert waiting_mail_asked([account.pk]) == {account.pk: len(waiting)}


@pytest.mark.parametrize("word", ["it's", "a b", "1", "%s"])
def test_nobodys_input_stands_in_a_statement(word: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Literal(word)
