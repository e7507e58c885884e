"""An uncertain mail is looked for in the account's Sent folder; what is found there answers the question."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from mailbox.models import Account, AuditEntry, Lease
from outbox import api
from outbox.actions import transitions
from outbox.compose import build as compose_build
from outbox.delivery import deliver
from outbox.models import DeliveryAttempt, OutboxMessage, SentLookup
from outbox.sent_folder import lookup as sent_folder_lookup
from outbox.sent_folder.lookup import LOOK_AFTER, next_look
from outbox.sent_folder.session import renewing_claim
from outbox.tasks import sent_folder as sent_folder_tasks
from tests.rows import NOWHERE, attempt, letter, outbox_row
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until

pytestmark = [pytest.mark.wire, pytest.mark.django_db(transaction=True)]
NOW = timezone.now()


@pytest.fixture
def account(make_account: Callable[..., Account], dovecot: Dovecot, mail_user: str) -> Account:
    dovecot.create_folder(mail_user, "Sent")
    return make_account(mail_user)


def uncertain(account: Account, **fields: Any) -> DeliveryAttempt:
    row = outbox_row(account, raw=letter(), status="failed", hold="uncertain", **fields)
    return attempt(row, outcome="uncertain", prx_attempt="5d1e", data_at=NOW, finished_at=NOW)


def in_sent(dovecot: Dovecot, account: Account, tried: DeliveryAttempt, *, prx_attempt: str | None = None) -> None:
    raw = compose_build.stamped(letter(), tried.message_id, prx_attempt or tried.prx_attempt)
    dovecot.append(account.email, "Sent", raw.replace(b"\nMessage-ID: <", b"\nX-Old-ID: <", 1))


def looked(at: timedelta = timedelta(0)) -> SentLookup:
    """Open what is uncertain and look, at this time after the row became uncertain."""
    now = NOW + at
    sent_folder_lookup.open_lookups(now)
    for pk in sent_folder_lookup.due(now):
        sent_folder_lookup.look(pk, lambda: now)
    return SentLookup.objects.get()


def state(tried: DeliveryAttempt) -> tuple[str, str]:
    row = OutboxMessage.objects.get(pk=tried.outbox_id)
    return row.status, row.hold


def test_a_mail_that_lies_in_sent_went_out(account: Account, dovecot: Dovecot) -> None:
    tried = uncertain(account)
    in_sent(dovecot, account, tried)

    lookup = looked()

    row = OutboxMessage.objects.get()
    assert (row.status, row.hold, row.provider_message_id) == ("sent", "", tried.message_id)
    assert [each.status for each in row.recipients.all()] == ["accepted"]
    assert (lookup.found_in, lookup.next_look_at) == ("Sent", None)
    entry = AuditEntry.objects.get(verb="found_in_sent")
    assert (entry.target, entry.detail, entry.user) == (f"outbox:{row.pk}", "Sent", None)
    assert deliver.deliver_account(account.pk).attempted == 0


def test_the_mark_of_another_attempt_proves_nothing(account: Account, dovecot: Dovecot) -> None:
    tried = uncertain(account)
    in_sent(dovecot, account, tried, prx_attempt="another")

    lookup = looked()

    assert state(tried) == ("failed", "uncertain")
    assert lookup.last_words == "It is not in “Sent”."


def test_it_is_looked_for_at_once_after_one_five_and_fifteen_minutes_and_then_no_more(
    account: Account, dovecot: Dovecot
) -> None:
    uncertain(account)
    for minutes, following in ((0, 1), (1, 5), (5, 15), (15, None)):
        lookup = looked(timedelta(minutes=minutes))
        assert lookup.last_look_at == NOW + timedelta(minutes=minutes)
        assert lookup.next_look_at == (NOW + timedelta(minutes=following) if following else None)
    assert sent_folder_lookup.due(NOW + timedelta(days=1)) == []


def test_a_mail_that_reaches_sent_late_is_found_by_a_later_look(account: Account, dovecot: Dovecot) -> None:
    tried = uncertain(account)
    looked()
    in_sent(dovecot, account, tried)
    looked(timedelta(minutes=1))
    assert state(tried) == ("sent", "")


def test_looks_missed_while_no_worker_ran_are_one_look() -> None:
    assert next_look(NOW, NOW) == NOW + timedelta(minutes=1)
    assert next_look(NOW, NOW + timedelta(minutes=6)) == NOW + timedelta(minutes=15)
    assert next_look(NOW, NOW + timedelta(days=2)) is None
    assert [after.total_seconds() for after in LOOK_AFTER] == [0, 60, 300, 900]


def test_a_recipient_the_server_had_refused_is_tried_again_alone(account: Account, dovecot: Dovecot) -> None:
    tried = uncertain(account)
    tried.outbox.recipients.create(kind="to", address="late@example.com", status="refused", reply_code=451)
    in_sent(dovecot, account, tried)
    looked()
    row = OutboxMessage.objects.get()
    assert (row.status, row.hold) == ("failed", "")
    assert dict(row.recipients.values_list("address", "status")) == {
        "ann@example.com": "accepted",
        "late@example.com": "refused",
    }


def test_a_persons_choice_wins_over_what_is_found_at_that_moment(account: Account) -> None:
    for choose in (transitions.ask_again, transitions.mark_as_sent):
        tried = uncertain(account)
        choose(tried.outbox_id, user=None, now=NOW, seen=transitions.AS_IT_IS)
        before = state(tried)
        assert transitions.found_in_sent(tried, "Sent", now=NOW) is False
        assert state(tried) == before


def test_what_is_found_of_an_earlier_attempt_says_nothing_of_the_last_one(account: Account, dovecot: Dovecot) -> None:
    first = uncertain(account)
    last = attempt(first.outbox, outcome="uncertain", prx_attempt="late", data_at=NOW, finished_at=NOW)
    in_sent(dovecot, account, first)

    lookup = looked()

    assert lookup.attempt_id == last.pk and state(last) == ("failed", "uncertain")
    assert transitions.found_in_sent(first, "Sent", now=NOW) is False


def test_a_server_that_is_away_leaves_the_question_and_says_so(make_account: Callable[..., Account]) -> None:
    tried = uncertain(make_account("ops@example.com", **NOWHERE))
    lookup = looked()
    assert state(tried) == ("failed", "uncertain")
    assert lookup.last_words.startswith("It could not be looked for: localhost:1")
    assert lookup.next_look_at == NOW + timedelta(minutes=1)


def test_an_account_without_a_sent_folder_says_so(make_account: Callable[..., Account], mail_user: str) -> None:
    uncertain(make_account(mail_user))
    assert looked().last_words == "The account has no Sent folder to look in."


def test_a_look_waits_for_another_worker_in_that_folder_and_holds_nobody_up(account: Account, dovecot: Dovecot) -> None:
    tried = uncertain(account)
    in_sent(dovecot, account, tried)
    token = Lease.acquire(account.pk, "sent", "another", seconds=60, now=NOW)
    lookup = looked()
    assert (lookup.last_look_at, lookup.next_look_at) == (None, NOW + timedelta(seconds=15))

    assert token
    Lease.release(account.pk, "sent", token)
    looked(timedelta(seconds=15))
    assert state(tried) == ("sent", "")


def test_a_running_sync_does_not_delay_a_look(account: Account, dovecot: Dovecot) -> None:
    tried = uncertain(account)
    in_sent(dovecot, account, tried)
    assert Lease.acquire(account.pk, "sync", "a long sync", seconds=600, now=NOW)
    looked()
    assert state(tried) == ("sent", "")


def test_a_worker_that_was_killed_while_looking_is_followed_by_another(account: Account, dovecot: Dovecot) -> None:
    tried = uncertain(account)
    in_sent(dovecot, account, tried)
    sent_folder_lookup.open_lookups(NOW)
    assert sent_folder_lookup._claim(SentLookup.objects.get().pk, NOW)  # and nothing more was heard of it

    looked(timedelta(seconds=20))
    assert state(tried) == ("failed", "uncertain")
    looked(timedelta(minutes=1))  # a living worker would have renewed its claim
    assert state(tried) == ("sent", "")


def test_a_slow_look_is_not_taken_over_while_its_worker_lives(account: Account) -> None:
    uncertain(account)
    sent_folder_lookup.open_lookups(NOW)
    pk = SentLookup.objects.get().pk
    token, later = sent_folder_lookup._claim(pk, NOW), NOW + timedelta(seconds=25)
    assert renewing_claim(SentLookup.objects.filter(pk=pk, claim_token=token), lambda: later)()
    assert sent_folder_lookup._claim(pk, NOW + timedelta(seconds=50)) is None
    assert sent_folder_lookup._claim(pk, NOW + timedelta(seconds=56))


def test_of_two_workers_at_one_instant_one_looks(account: Account) -> None:
    uncertain(account)
    sent_folder_lookup.open_lookups(NOW)
    pk, claims, ready = SentLookup.objects.get().pk, [], threading.Barrier(4)

    def claim() -> None:
        ready.wait()
        claims.append(sent_folder_lookup._claim(pk, NOW))
        connections.close_all()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([each for each in claims if each]) == 1


def test_the_sweep_finds_what_nobody_queued(account: Account) -> None:
    uncertain(account)
    assert sent_folder_tasks.sweep_afterwards()["opened"] == 1
    assert [task.func() for task in OrmQ.objects.all()] == ["outbox.tasks.look_in_sent"]
    assert sent_folder_tasks.sweep_afterwards()["opened"] == 0


def test_a_real_worker_answers_the_question_by_itself(
    account: Account, dovecot: Dovecot, start_workers: Callable[..., object]
) -> None:
    tried = uncertain(account)
    in_sent(dovecot, account, tried)
    sent_folder_tasks.sweep_afterwards()
    workers = start_workers(PRX_EMAIL_WORKERS="1")
    wait_until(lambda: state(tried)[0] == "sent", seconds=30, what="the look in Sent")
    assert workers


def test_the_page_tells_of_the_looks_and_offers_one_more(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    tried = uncertain(account)
    looked()
    client.force_login(make_user("operator"))
    page = client.get(reverse("outbox:detail", args=[tried.outbox_id])).content.decode()
    assert "Looked in Sent at" in page and "It is not in “Sent”." in page and "Next look" in page
    assert reverse("outbox:state", args=[tried.outbox_id]) in page  # it follows by itself

    client.post(reverse("outbox:look_in_sent", args=[tried.outbox_id]))
    assert [task.func() for task in OrmQ.objects.all()] == ["outbox.tasks.look_in_sent"]
    assert SentLookup.objects.get().next_look_at <= timezone.now()  # type: ignore[operator]


def test_there_is_nothing_to_look_for_when_the_outcome_is_known(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    row = outbox_row(account, status="sent")
    client.force_login(make_user("operator"))
    page = client.post(reverse("outbox:look_in_sent", args=[row.pk]), follow=True).content.decode()
    assert "There is nothing to look for" in page and not OrmQ.objects.exists()


def test_an_uncertain_mail_cannot_be_cancelled_before_it_is_decided(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    tried = uncertain(account)
    client.force_login(make_user("operator"))
    page = client.post(
        reverse("outbox:cancel", args=[tried.outbox_id]), {"confirmed": "1"}, follow=True
    ).content.decode()
    assert "Decide first" in page
    refused = api.cancel(tried.outbox_id, user=None)
    assert refused.error and "mark it as sent, or send it again" in refused.error.message
    assert state(tried) == ("failed", "uncertain")
