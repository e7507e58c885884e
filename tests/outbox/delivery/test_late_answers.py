"""An answer that comes when another attempt, or a person, has decided: it settles its own question and no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.actions import transitions
from outbox.delivery import claims, finalization, recovery
from outbox.delivery.claims import Claim
from outbox.delivery.outcomes import AttemptOutcome
from outbox.models import DeliveryAttempt, OutboxMessage
from outbox.retry.faults import Verdict
from outbox.retry.policy import Settlement

pytestmark = pytest.mark.django_db(transaction=True)
Late = Callable[[Claim, datetime], bool]


@pytest.fixture
def pk(make_account: Callable[..., Account]) -> int:
    account = make_account(imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)
    response = api.queue(account.pk, "ann@example.test", "Hello", "A text.")
    assert response.data
    return response.data.outbox_id


def begun(pk: int, now: datetime) -> Claim:
    """An attempt that has begun DATA."""
    claim = claims.claim_row(pk, "test/1", lease_seconds=60, now=now)
    assert claim and claims.commit_dot(claim, {}, [], lease_seconds=60, now=now)
    return claim


def lapsed(now: datetime) -> datetime:
    """Every lease runs out; the instant at which it has."""
    recovery.recover(now + timedelta(minutes=2))
    return now + timedelta(minutes=2)


def accepted(claim: Claim, now: datetime) -> bool:
    settled = Settlement("sent", "", 0, now, "", Verdict.ACCEPTED)
    return finalization.finalize(
        claim, AttemptOutcome(settled, "250 Queued", 250, "accepted", accepted=["ann@example.test"]), now=now
    )


def refused(claim: Claim, now: datetime) -> bool:
    settled = Settlement("failed", "", 1, now, "Provider", Verdict.TRANSIENT)
    return finalization.finalize(claim, AttemptOutcome(settled, "451 Later", 451, "data"), now=now)


def found_in_sent(claim: Claim, now: datetime) -> bool:
    return transitions.found_in_sent(DeliveryAttempt.objects.get(pk=claim.attempt_id), "Sent", now=now)


LATE: dict[str, Late] = {"accepted": accepted, "refused": refused, "found in Sent": found_in_sent}


def question_of_a_second_attempt(pk: int, now: datetime) -> Claim:
    """A person chose "Send again", and the second attempt's outcome is not known either."""
    transitions.ask_again(pk, user=None, now=now, seen=transitions.AS_IT_IS)
    second = begun(pk, now)
    lapsed(now)
    return second


def is_question_of(pk: int, number: int) -> bool:
    row = OutboxMessage.objects.get(pk=pk)
    return (row.status, row.hold, row.last_attempt, row.retries) == ("failed", "uncertain", number, 0)


@pytest.mark.parametrize("late", LATE)
def test_a_late_outcome_settles_the_question_of_its_own_attempt(pk: int, late: str) -> None:
    now = timezone.now()
    first = begun(pk, now)
    now = lapsed(now)
    assert LATE[late](first, now)
    row = OutboxMessage.objects.get(pk=pk)
    assert (row.status, row.hold) == (("failed", "") if late == "refused" else ("sent", ""))


@pytest.mark.parametrize("late", LATE)
def test_a_late_outcome_leaves_the_question_of_the_next_attempt_open(pk: int, late: str) -> None:
    now = timezone.now()
    first = begun(pk, now)
    question_of_a_second_attempt(pk, lapsed(now))
    assert not LATE[late](first, now)
    assert is_question_of(pk, 2)


@pytest.mark.parametrize("late", LATE)
def test_a_late_outcome_that_waited_for_the_row_leaves_the_question_of_the_next_attempt_open(
    pk: int, late: str
) -> None:
    """PostgreSQL: its statement begins before the second attempt is there, waits for the row, and then sees the row as
    it has become, but every other table as it was."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer, who sees everything.")
    now = timezone.now()
    first, answers, backend = begun(pk, now), list[bool](), list[int]()
    now = lapsed(now)

    def settle() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                backend.append(cursor.fetchone()[0])
            answers.append(LATE[late](first, now))
        finally:
            connections.close_all()

    settler = threading.Thread(target=settle)
    with transaction.atomic():
        OutboxMessage.objects.filter(pk=pk).update(updated_at=now)  # from here on the row is locked
        settler.start()
        wait_until_it_waits_for_a_lock(backend)
        question_of_a_second_attempt(pk, now)
    settler.join(30)
    assert answers == [False]
    assert is_question_of(pk, 2)


def wait_until_it_waits_for_a_lock(backend: list[int]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_locks WHERE NOT granted")
            if backend and backend[0] in {pid for (pid,) in cursor.fetchall()}:
                return
        time.sleep(0.01)
    raise AssertionError("The late outcome did not come to wait for the row.")


def test_a_claim_that_lapsed_before_it_was_tried_settles_no_question_although_its_number_is_given_again(
    pk: int, make_account: Callable[..., Account]
) -> None:
    """Claimed behind another row and not begun, it is recovered as if it had not been claimed."""
    row = OutboxMessage.objects.get(pk=pk)
    other = api.queue(row.account_id, "bob@example.test", "Second", "A text.").data
    assert other
    now = timezone.now()
    _, untried = claims.claim_some(row.account_id, "frozen/1", most=2, lease_seconds=60, now=now)
    now = lapsed(now)
    assert OutboxMessage.objects.get(pk=other.outbox_id).last_attempt == 0
    begun(other.outbox_id, now)
    now = lapsed(now)
    assert not refused(untried, now)
    assert is_question_of(other.outbox_id, 1)


def test_a_claim_given_back_untried_leaves_no_gap_in_the_numbers(pk: int) -> None:
    now = timezone.now()
    claim = claims.claim_row(pk, "test/1", lease_seconds=60, now=now)
    assert claim and claims.unclaim([claim], now=now) == 1
    assert begun(pk, now).number == OutboxMessage.objects.get(pk=pk).last_attempt == 1


def test_the_numbers_go_on_from_the_attempts_that_were_there_before(pk: int) -> None:
    now = timezone.now()
    for number in (1, 2, 3):
        claim = claims.claim_row(pk, "test/1", lease_seconds=60, now=now)
        assert claim and claim.number == number
        assert claims.release(claim, "Not now.", now=now)
    assert OutboxMessage.objects.get(pk=pk).last_attempt == 3
    assert list(DeliveryAttempt.objects.values_list("number", flat=True)) == [1, 2, 3]
