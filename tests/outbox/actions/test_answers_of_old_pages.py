"""An answer holds for the state that the page showed: a row that changed since is left alone, and said to be."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AccountGrant
from outbox import api
from outbox.actions import bulk as actions_bulk
from outbox.actions import estimate, results, transitions
from outbox.actions.estimate import BulkQuestion
from outbox.actions.filters import OutboxFilters
from outbox.actions.transitions import ShownState
from outbox.delivery import claims, deliver, finalization, outcomes
from outbox.models import Operation, OutboxMessage
from outbox.retry.faults import Verdict
from outbox.retry.policy import Settlement
from tests.rows import NOWHERE, attempt, outbox_row
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Drop

pytestmark = [pytest.mark.pages, pytest.mark.django_db(transaction=True)]
QUESTIONS = OutboxFilters(state="needs_decision")


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user("operator")


@pytest.fixture
def operator(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def question(account: Account, subject: str = "A question", **fields: Any) -> OutboxMessage:
    row = outbox_row(account, subject, status="failed", hold="uncertain", **fields)
    attempt(row, outcome="uncertain")
    return row


def asked_about(filters: OutboxFilters, verb: str, user: User) -> BulkQuestion:
    return estimate.ask(filters, verb, user, timezone.now(), estimate.operated_by(user))[0]


def done(asked: BulkQuestion, user: User) -> Operation:
    operation = actions_bulk.begin(asked, user, timezone.now())
    assert operation
    actions_bulk.run(operation.pk)
    operation.refresh_from_db()
    return operation


def status(row: OutboxMessage) -> tuple[str, str]:
    return OutboxMessage.objects.values_list("status", "hold").get(pk=row.pk)


def form_of(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that posts there, or what the row's button there adds to the form of all rows."""
    button = re.search(rf'<button form="row-form" formaction="{re.escape(action)}" name="(\w+)" value="([^"]*)"', page)
    if button:
        return {button[1]: button[2], "confirmed": "1"}
    found = re.search(rf'<form method="post" action="{re.escape(action)}">(.*?)</form>', page, re.S)
    assert found, action
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', found[1])) | {"confirmed": "1"}


def becomes_a_question(row: OutboxMessage) -> None:
    """As a worker does that loses its connection after the final dot."""
    claim = claims.claim_row(row.pk, "w", lease_seconds=60, now=timezone.now())
    assert claim
    claims.commit_dot(claim, {}, [], lease_seconds=60, now=timezone.now())
    now = timezone.now()
    settled = Settlement("failed", "uncertain", row.retries, now, "Network", Verdict.UNCERTAIN)
    assert finalization.finalize(claim, outcomes.AttemptOutcome(settled, phase="dot"), now=now)


def test_marked_as_sent_is_only_what_was_a_question_when_the_person_was_asked(user: User, account: Account) -> None:
    seen, other = question(account), outbox_row(account, "Being sent")
    asked = asked_about(QUESTIONS, "mark_as_sent", user)
    becomes_a_question(other)

    operation = done(asked, user)

    assert (status(seen), status(other)) == (("sent", ""), ("failed", "uncertain"))
    assert (operation.done, operation.expected, operation.skipped) == (1, 1, {estimate.CHANGED: 1})
    assert results.result_in_words(operation) == "1 marked as sent. 1 changed meanwhile and was left alone."


def test_what_becomes_a_question_between_the_answer_and_its_turn_is_left_alone(user: User, account: Account) -> None:
    seen, other = question(account), outbox_row(account, "Being sent")
    operation = actions_bulk.begin(asked_about(QUESTIONS, "mark_as_sent", user), user, timezone.now())
    assert operation
    becomes_a_question(other)
    actions_bulk.run(operation.pk)
    assert (status(seen), status(other)) == (("sent", ""), ("failed", "uncertain"))


def test_an_outcome_that_was_stamped_before_the_question_and_committed_after_it_is_not_meant(
    user: User, account: Account
) -> None:
    """A transaction takes its time, and two hosts' clocks differ: the time alone does not tell what was shown."""
    late = outbox_row(account, "Being sent")
    claim = claims.claim_row(late.pk, "w", lease_seconds=60, now=timezone.now())
    assert claim
    claims.commit_dot(claim, {}, [], lease_seconds=60, now=timezone.now())
    stamped = timezone.now()
    seen = question(account)
    asked = asked_about(QUESTIONS, "mark_as_sent", user)
    settled = Settlement("failed", "uncertain", 0, stamped, "Network", Verdict.UNCERTAIN)
    assert finalization.finalize(claim, outcomes.AttemptOutcome(settled, phase="dot"), now=stamped)

    operation = done(asked, user)

    assert (status(seen), status(late)) == (("sent", ""), ("failed", "uncertain"))
    assert operation.skipped == {estimate.CHANGED: 1}


@pytest.mark.parametrize("verb", ["cancel", "retry", "send_now"])
def test_no_action_on_all_touches_a_row_that_somebody_else_changed_since(
    user: User, account: Account, verb: str
) -> None:
    row = outbox_row(account, status="failed", hold="permanent")
    asked = asked_about(OutboxFilters(), verb, user)
    OutboxMessage.objects.filter(pk=row.pk).update(hold="gave_up", updated_at=timezone.now())
    operation = done(asked, user)
    assert status(row) == ("failed", "gave_up")
    assert (operation.done, operation.skipped) == (0, {estimate.CHANGED: 1})


@pytest.mark.parametrize("verb", ["mark_as_sent", "send_again", "cancel", "retry", "send_now"])
def test_a_change_between_reading_the_row_and_its_update_is_found_by_the_update(
    user: User, account: Account, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The row is a question again, of the next attempt, or refused again: by its looks nothing has changed."""
    hold = "uncertain" if verb in estimate.ANSWERS else "permanent"
    row = outbox_row(account, status="failed", hold=hold)
    attempt(row, outcome=hold)
    asked = asked_about(OutboxFilters(state="needs_decision" if hold == "uncertain" else ""), verb, user)
    read = transitions.find_row

    def read_and_lose_the_race(pk: int) -> OutboxMessage:
        found = read(pk)
        attempt(row, outcome=hold)
        OutboxMessage.objects.filter(pk=pk).update(updated_at=timezone.now())
        return found

    monkeypatch.setattr(transitions, "find_row", read_and_lose_the_race)
    operation = done(asked, user)
    assert (operation.done, operation.skipped) == (0, {estimate.CHANGED: 1})
    assert status(row) == ("failed", hold)


def test_a_page_that_said_fewer_than_are_meant_now_asks_again(
    operator: Client, account: Account, make_account: Callable[..., Account], user: User
) -> None:
    hidden = make_account("other@example.com", **NOWHERE)
    user.groups.clear()
    grant = AccountGrant.objects.create(user=user, account=account, role="operator")
    question(account), question(hidden)
    url = f"{reverse('outbox:bulk_all')}?state=needs_decision&action=mark_as_sent"
    sealed = re.search(r'name="asked" value="([^"]+)"', operator.get(url).content.decode())
    assert sealed and grant
    AccountGrant.objects.create(user=user, account=hidden, role="operator")

    answer = operator.post(url, {"asked": sealed[1]})

    assert answer.status_code == 200 and not Operation.objects.exists()
    page = answer.content.decode()
    assert "has changed since the page asked" in page and "<strong" in page and ">2</strong> of 2" in page


@pytest.mark.parametrize("asked", ["", "made up", "another verb"])
def test_an_answer_to_no_question_of_ours_begins_nothing(
    operator: Client, account: Account, user: User, asked: str
) -> None:
    row = question(account)
    form = asked_about(OutboxFilters(), "cancel", user).sealed() if asked == "another verb" else asked
    answer = operator.post(f"{reverse('outbox:bulk_all')}?action=mark_as_sent", {"asked": form})
    assert answer.status_code == 200
    assert not Operation.objects.exists() and status(row) == ("failed", "uncertain")


@pytest.mark.parametrize("verb", ["send_again", "mark_as_sent"])
def test_an_old_page_makes_no_third_copy_and_settles_no_other_question(
    operator: Client, account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer], verb: str
) -> None:
    server = smtp_server("tls")
    server.on(".", Drop(keep_mail=True), times=2)
    account = account_on(server)
    assert api.queue(account.pk, "ann@example.test", "Invoice", "A text.").ok
    deliver.deliver_account(account.pk)
    row = OutboxMessage.objects.get()
    detail = reverse("outbox:detail", args=[row.pk])
    old = operator.get(detail).content.decode()
    again = reverse("outbox:send_again", args=[row.pk])
    operator.post(again, form_of(old, again))
    deliver.deliver_account(account.pk)
    assert len(server.mails()) == 2 and status(row) == ("failed", "uncertain")

    click = reverse(f"outbox:{verb}", args=[row.pk])
    for fields in (form_of(old, click), {}):
        answer = operator.post(click, fields, follow=True)
        assert [notice.level_tag for notice in answer.context["messages"]][-1:] == ["error"]
        deliver.deliver_account(account.pk)
        assert status(row) == ("failed", "uncertain")
    assert len(server.mails()) == 2

    operator.post(click, form_of(operator.get(detail).content.decode(), click))
    assert status(row) == (("failed", "") if verb == "send_again" else ("sent", ""))


@pytest.mark.parametrize("name", ["retry", "send_now", "cancel"])
def test_every_button_of_an_old_page_is_refused_once_another_attempt_was_made(
    operator: Client, account: Account, name: str
) -> None:
    later = timezone.now() + timedelta(minutes=5)
    hold = "permanent" if name == "retry" else ""
    row = outbox_row(account, status="failed", hold=hold, next_attempt_at=timezone.now() if hold else later)
    attempt(row, outcome="transient")
    click = reverse(f"outbox:{name}", args=[row.pk])
    pages = [operator.get(reverse("outbox:detail", args=[row.pk])), operator.get(reverse("outbox:list"))]
    attempt(row, outcome="transient")
    for page in pages:
        answer = operator.post(click, form_of(page.content.decode(), click), follow=True)
        assert "It has changed since this page was shown" in answer.content.decode()
    row.refresh_from_db()
    assert (row.status, row.requested_by) == ("failed", None)


def test_ticked_rows_are_those_that_were_shown(operator: Client, account: Account) -> None:
    same, other = (outbox_row(account, status="failed", hold="permanent") for _ in range(2))
    page = operator.get(reverse("outbox:list")).content.decode()
    ticked = re.findall(r'type="checkbox" name="pk" value="([^"]+)"', page)
    attempt(other, outcome="permanent")
    answer = operator.post(reverse("outbox:bulk"), {"pk": ticked, "action": "cancel", "confirmed": "1"}, follow=True)
    assert "1 cancelled, 1 skipped: 1 because: it changed meanwhile." in answer.content.decode()
    assert (status(same)[0], status(other)[0]) == ("cancelled", "failed")


def test_programs_may_say_which_attempt_they_answer_about(account: Account) -> None:
    row = question(account)
    for answer in (api.send_again(row.pk, 0, user=None), api.mark_as_sent(row.pk, 2, user=None)):
        assert answer.error and answer.error.message == transitions.CHANGED_MEANWHILE
    refused = outbox_row(account, status="failed", hold="permanent")
    assert not api.request_retry(refused.pk, user=None, seen=ShownState(attempt=1)).ok
    assert not api.cancel(refused.pk, user=None, seen=ShownState(attempt=1)).ok
    assert api.cancel(refused.pk, user=None, seen=ShownState(attempt=0)).ok


def test_the_page_follows_what_came_of_the_mails_that_were_handed_over(operator: Client, account: Account) -> None:
    rows = [outbox_row(account, f"Mail {n}", status="failed", hold="permanent") for n in range(2)]
    answer = operator.post(
        reverse("outbox:bulk"), {"pk": [f"{row.pk}.0" for row in rows], "action": "send_now"}, follow=True
    )
    page = answer.content.decode()
    assert "2 handed to a worker to be sent now." in page and "sent now.</" not in page.replace("be sent now", "")
    assert "0 tried: 0 sent, 0 failed again. 2 wait for a worker." in page
    operation = Operation.objects.get()
    part = reverse("outbox:operation", args=[operation.pk])
    assert f'hx-get="{part}' in page
    for row in rows:
        attempt(row, outcome="permanent")
        OutboxMessage.objects.filter(pk=row.pk).update(hold="permanent")
    said = operator.get(part, headers={"HX-Request": "true"}).content.decode()
    assert "2 tried: 0 sent, 2 failed again." in said
    assert "tone-fine" not in said and "hx-get" not in said
