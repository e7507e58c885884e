"""One action on all that match: counted, confirmed, done by workers as single clicks, told honestly."""

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

from mailbox.models import Account, AccountGrant, AuditEntry
from outbox.actions import bulk as actions_bulk
from outbox.actions import estimate
from outbox.actions.estimate import BulkQuestion
from outbox.actions.filters import OutboxFilters
from outbox.models import Operation, OutboxMessage
from outbox.tasks import bulk as bulk_tasks
from tests.rows import NOWHERE, attempt, outbox_row, queries_of, tasks_queued

pytestmark = pytest.mark.django_db
LATER = timedelta(minutes=5)


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user("operator")


@pytest.fixture
def operator(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def refused(account: Account, number: int, **fields: Any) -> list[OutboxMessage]:
    return [
        outbox_row(account, f"Refused {each}", status="failed", hold="permanent", **fields) for each in range(number)
    ]


def asked(user: User, verb: str = "retry", **filters: Any) -> BulkQuestion:
    return estimate.ask(OutboxFilters(**filters), verb, user, timezone.now(), estimate.operated_by(user))[0]


def sealed(client: Client, verb: str) -> str:
    """What the form of the page that asks carries."""
    page = client.get(reverse("outbox:bulk_all"), {"action": verb}).content.decode()
    found = re.search(r'name="asked" value="([^"]+)"', page)
    assert found
    return found[1]


def begin(user: User, verb: str = "retry", **filters: Any) -> Operation:
    operation = actions_bulk.begin(asked(user, verb, **filters), user, timezone.now())
    assert operation
    return operation


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_the_page_counts_first_and_says_what_is_skipped_and_why(operator: Client, account: Account) -> None:
    refused(account, 3)
    outbox_row(account, status="failed", next_attempt_at=timezone.now() + LATER)
    outbox_row(account, status="failed", hold="uncertain")
    outbox_row(account, status="sent")
    page = words(operator.get(reverse("outbox:bulk_all"), {"action": "retry"}).content.decode())
    assert "4 of 5 mails that match." in page
    assert "1 because it may have gone out already and needs a decision of its own." in page
    assert not Operation.objects.exists()
    assert not OutboxMessage.objects.filter(status="pending").exists()


def test_what_is_confirmed_is_done_by_a_worker_and_the_result_is_honest(operator: Client, account: Account) -> None:
    rows = refused(account, 3, error="550 no")
    question = outbox_row(account, status="failed", hold="uncertain")
    answer = operator.post(reverse("outbox:bulk_all") + "?action=retry", {"asked": sealed(operator, "retry")})
    operation = Operation.objects.get()
    assert answer["Location"] == reverse("outbox:operation", args=[operation.pk])
    assert tasks_queued() == ["outbox.tasks.run_operation"]
    bulk_tasks.run_operation(operation.pk)
    assert {OutboxMessage.objects.get(pk=row.pk).hold for row in rows} == {""}
    assert OutboxMessage.objects.get(pk=question.pk).hold == "uncertain"
    page = words(operator.get(answer["Location"]).content.decode())
    assert "3 handed to a worker to be retried, 1 skipped: 1 because: it may have gone out already" in page
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs == ["bulk_retry", "retry", "retry", "retry", "bulk_finished"]


def test_the_button_and_the_page_it_leads_to_count_the_same_mails(
    operator: Client, user: User, account: Account
) -> None:
    refused(account, 10)
    outbox_row(account, status="failed", hold="sign_in")  # skipped: under way the page said "of 11"
    listed = operator.get(reverse("outbox:list"), {"state": "failed_for_good"})
    assert "Retry all 10 that failed" in listed.content.decode()
    question = {"asked": listed.context["retry_all"].sealed()}
    answer = operator.post(f"{reverse('outbox:bulk_all')}?state=failed_for_good&action=retry", question)
    operation = Operation.objects.get()
    assert (operation.expected, operation.total) == (10, 11)
    assert "0 of 10" in words(operator.get(answer["Location"]).content.decode())
    actions_bulk.run(operation.pk, seconds=0)
    assert "1 of 10" in words(operator.get(answer["Location"]).content.decode())
    actions_bulk.run(operation.pk)
    page = words(operator.get(answer["Location"]).content.decode())
    assert "10 handed to a worker to be retried, 1 skipped" in page
    assert "The page had said" not in page


def test_only_uncertain_rows_are_marked_as_sent(user: User, account: Account) -> None:
    uncertain = outbox_row(account, status="failed", hold="uncertain")
    others = [*refused(account, 1), outbox_row(account)]
    operation = begin(user, "mark_as_sent")
    actions_bulk.run(operation.pk)
    operation.refresh_from_db()
    assert (operation.done, operation.skipped) == (1, {estimate.NO_QUESTION: 2})
    assert OutboxMessage.objects.get(pk=uncertain.pk).status == "sent"
    assert {OutboxMessage.objects.get(pk=row.pk).status for row in others} == {"failed", "pending"}


@pytest.mark.parametrize("verb", ["retry", "send_now", "cancel"])
def test_no_action_on_all_touches_what_may_have_gone_out(user: User, account: Account, verb: str) -> None:
    row = outbox_row(account, status="failed", hold="uncertain")
    operation = begin(user, verb)
    actions_bulk.run(operation.pk)
    row.refresh_from_db()
    assert (row.status, row.hold) == ("failed", "uncertain")


def test_only_what_matches_is_touched_and_nothing_written_later(user: User, account: Account) -> None:
    meant = outbox_row(account, "Invoice 1")
    other = outbox_row(account, "Greeting")
    operation = begin(user, "cancel", text="invoice")
    later = outbox_row(account, "Invoice 2")
    actions_bulk.run(operation.pk)
    states = {row.pk: OutboxMessage.objects.get(pk=row.pk).status for row in (meant, other, later)}
    assert states == {meant.pk: "cancelled", other.pk: "pending", later.pk: "pending"}


def test_a_killed_worker_leaves_off_between_two_rows_and_another_goes_on(user: User, account: Account) -> None:
    refused(account, 5)
    operation = begin(user)
    actions_bulk.run(operation.pk, seconds=0)  # one row, then the time is over, as if killed there
    operation.refresh_from_db()
    assert (operation.done, operation.finished_at) == (1, None)
    assert actions_bulk.stalled(timezone.now() + 2 * actions_bulk.STALLED) == [operation.pk]
    Operation.objects.update(moved_at=timezone.now() + timedelta(days=1))  # by a clock that was ahead
    assert actions_bulk.stalled(timezone.now()) == [operation.pk]
    actions_bulk.run(operation.pk)
    operation.refresh_from_db()
    assert operation.done == 5
    assert operation.finished_at
    assert AuditEntry.objects.filter(verb="retry").count() == 5


def test_a_worker_that_was_overtaken_does_nothing_twice(user: User, account: Account) -> None:
    first, second = refused(account, 2)
    operation = begin(user)
    behind = Operation.objects.get(pk=operation.pk)
    actions_bulk.run(operation.pk, seconds=0)
    assert actions_bulk._one(behind, first.pk, True, timezone.now()) is None
    actions_bulk.run(operation.pk)
    operation.refresh_from_db()
    assert operation.done == 2
    assert AuditEntry.objects.filter(target=f"outbox:{second.pk}").count() == 1


def test_it_can_be_stopped_and_says_what_was_left(operator: Client, user: User, account: Account) -> None:
    refused(account, 4)
    operation = begin(user)
    actions_bulk.run(operation.pk, seconds=0)
    operator.post(reverse("outbox:stop_operation", args=[operation.pk]))
    assert actions_bulk.run(operation.pk) == set()
    page = words(operator.get(reverse("outbox:operation", args=[operation.pk])).content.decode())
    assert "1 handed to a worker to be retried. 3 were left as they are." in page
    assert OutboxMessage.objects.filter(hold="permanent").count() == 3


def test_a_right_that_is_withdrawn_half_way_counts_at_once(account: Account, make_user: Callable[..., User]) -> None:
    person = make_user("")
    grant = AccountGrant.objects.create(user=person, account=account, role="operator")
    refused(account, 2)
    operation = begin(person)
    AccountGrant.objects.filter(pk=grant.pk).update(role="viewer")
    actions_bulk.run(operation.pk)
    operation.refresh_from_db()
    assert (operation.done, operation.skipped) == (0, {estimate.NOT_YOURS: 2})


def test_rows_of_accounts_one_may_not_see_are_neither_counted_nor_touched(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    person = make_user("")
    AccountGrant.objects.create(user=person, account=account, role="operator")
    refused(account, 1)
    hidden = refused(make_account("other@example.com", **NOWHERE), 2)
    client.force_login(person)
    assert "1 of 1 mail that matches." in words(
        client.get(reverse("outbox:bulk_all"), {"action": "cancel"}).content.decode()
    )
    actions_bulk.run(begin(person, "cancel").pk)
    assert {OutboxMessage.objects.get(pk=row.pk).status for row in hidden} == {"failed"}


def test_a_page_sent_twice_is_one_operation(operator: Client, account: Account) -> None:
    refused(account, 1)
    form = {"asked": sealed(operator, "cancel")}
    for _ in range(2):
        operator.post(reverse("outbox:bulk_all") + "?action=cancel", form)
    assert Operation.objects.count() == 1


def test_the_count_costs_the_same_for_more_rows(operator: Client, account: Account) -> None:
    refused(account, 1)
    url = reverse("outbox:bulk_all") + "?action=retry"
    before, after = queries_of(operator, url, lambda: refused(account, 8))
    assert before == after


def test_filters_by_code_error_domain_and_age_narrow_list_and_counts(operator: Client, account: Account) -> None:
    old, new = outbox_row(account, "Old", status="failed", hold="permanent", error_code="Provider"), outbox_row(account)
    attempt(old, reply_code=550, outcome="permanent")
    OutboxMessage.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=2))
    old.recipients.update(address="bob@Other.example")
    for query in (
        {"code": "550"},
        {"code": "5xx"},
        {"error": "Provider"},
        {"domain": "other.EXAMPLE"},
        {"age": "over-1d"},
    ):
        response = operator.get(reverse("outbox:list"), query)
        assert [each.row.pk for each in response.context["rows"]] == [old.pk], query
        counts = {each.label: each.count for each in response.context["tabs"]}
        assert (counts["Failed"], counts["Queued"]) == ("1", "0"), query
        assert len(response.context["chips"]) == 1
    listed = operator.get(reverse("outbox:list"), {"age": "under-1h"}).context["rows"]
    assert [each.row.pk for each in listed] == [new.pk]
    assert not operator.get(reverse("outbox:list"), {"code": "4xx"}).context["rows"]


def test_a_chip_removes_its_filter_and_no_other(operator: Client, account: Account) -> None:
    response = operator.get(
        reverse("outbox:list"), {"code": "550", "q": "bill", "account": account.pk, "state": "sent"}
    )
    queries = {chip.label: chip.query for chip in response.context["chips"]}
    assert queries["Code 550"] == f"state=sent&account={account.pk}&q=bill"
    assert queries["ops@example.com"] == "state=sent&q=bill&code=550"


@pytest.mark.parametrize("query", ["code=250", "code=55", "error=Bad", "age=old", "code=%D9%A5%D9%A5%D9%A0"])
def test_a_filter_that_cannot_be_is_refused_with_a_sentence(operator: Client, query: str) -> None:
    assert operator.get(f"{reverse('outbox:list')}?{query}").status_code == 400
