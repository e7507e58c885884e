"""What cannot be taken back asks first, by a page too; one answer for many uncertain mails holds for each as shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AccountGrant, AuditEntry
from outbox.models import Operation, OutboxMessage, SendingSwitch
from tests.rows import NOWHERE, attempt, outbox_row

pytestmark = pytest.mark.django_db
ASKING = {
    "cancel": ({"status": "failed", "hold": "permanent"}, "It is never sent then."),
    "mark_as_sent": ({"status": "failed", "hold": "uncertain"}, "Do this only when you know that it arrived."),
    "send_again": ({"status": "failed", "hold": "uncertain"}, "may get it twice"),
}


def question(account: Account, subject: str = "A question") -> OutboxMessage:
    row = outbox_row(account, subject, status="failed", hold="uncertain")
    attempt(row, outcome="uncertain")
    return row


def state(row: OutboxMessage) -> tuple[str, str]:
    return OutboxMessage.objects.values_list("status", "hold").get(pk=row.pk)


def fields_of(page: str) -> dict[str, list[str]]:
    """The hidden fields of the form that asks."""
    form = re.search(r'<form method="post" class="actions">(.*?)</form>', page, re.S)
    assert form
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[1]):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("name", ASKING)
def test_a_click_that_nothing_takes_back_is_asked_about_by_a_page(
    operator: Client, account: Account, name: str
) -> None:
    values, consequence = ASKING[name]
    row = outbox_row(account, "Invoice 4411", **values)
    click = reverse(f"outbox:{name}", args=[row.pk])
    answer = operator.post(click, {"attempt": "0", "next": reverse("outbox:list")})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert consequence in page and "Invoice 4411" in page
    assert state(row) == (values["status"], values["hold"]) and not AuditEntry.objects.exists()

    confirmed = operator.post(click, fields_of(page))

    assert confirmed["Location"] == reverse("outbox:list")
    assert state(row) != (values["status"], values["hold"])


def test_pausing_everything_is_asked_about_by_a_page(client: Client, make_user: Callable[..., User]) -> None:
    client.force_login(make_user("administrator"))
    page = client.post(reverse("outbox:pause_sending"), {"reason": "moving"}).content.decode()
    assert "Pause all sending?" in page
    assert not SendingSwitch.objects.filter(paused_at__isnull=False).exists()
    client.post(reverse("outbox:pause_sending"), fields_of(page))
    assert SendingSwitch.objects.get().reason == "moving"


def test_a_question_is_of_no_use_to_whoever_may_not_answer(
    client: Client, make_user: Callable[..., User], account: Account
) -> None:
    row = question(account)
    client.force_login(make_user("viewer"))
    for name in ASKING:
        for confirmed in ({}, {"confirmed": "1"}):
            url = reverse(f"outbox:{name}", args=[row.pk])
            assert client.post(url, {"attempt": "1"} | confirmed).status_code == 403
    assert client.post(reverse("outbox:bulk"), {"pk": f"{row.pk}.1", "action": "send_again"}).status_code == 403
    assert state(row) == ("failed", "uncertain")


@pytest.mark.parametrize(("verb", "became"), [("mark_as_sent", ("sent", "")), ("send_again", ("failed", ""))])
def test_ticked_questions_are_answered_at_once_each_for_the_attempt_that_was_shown(
    operator: Client, account: Account, verb: str, became: tuple[str, str]
) -> None:
    same, other = question(account, "Invoice 1"), question(account, "Invoice 2")
    form: dict[str, Any] = {"action": verb, "pk": [f"{same.pk}.1", f"{other.pk}.1"]}
    page = operator.post(reverse("outbox:bulk"), form).content.decode()
    assert "2 mails?" in page and "Invoice 1" in page and "Invoice 2" in page
    assert {state(same), state(other)} == {("failed", "uncertain")}
    attempt(other, outcome="uncertain")  # somebody sent it again meanwhile, and that is a question of its own

    said = operator.post(reverse("outbox:bulk"), fields_of(page), follow=True).content.decode()

    assert (state(same), state(other)) == (became, ("failed", "uncertain"))
    assert "it changed meanwhile" in said
    audited = AuditEntry.objects.select_related("user").get(verb=verb)
    assert audited.user and audited.target == f"outbox:{same.pk}"


@pytest.mark.parametrize("verb", ["mark_as_sent", "send_again"])
def test_an_answer_for_ticked_rows_touches_no_row_whose_outcome_is_known_or_that_says_no_attempt(
    operator: Client, account: Account, verb: str
) -> None:
    refused, unsaid = outbox_row(account, status="failed", hold="permanent"), question(account)
    form: dict[str, Any] = {"action": verb, "pk": [f"{refused.pk}.0", f"{unsaid.pk}"], "confirmed": "1"}
    said = operator.post(reverse("outbox:bulk"), form, follow=True).content.decode()
    assert "1 because: its outcome is no question" in said and "1 because: it changed meanwhile" in said
    assert (state(refused), state(unsaid)) == (("failed", "permanent"), ("failed", "uncertain"))


def test_ticked_questions_of_accounts_one_may_not_operate_are_left_alone(
    client: Client, make_user: Callable[..., User], make_account: Callable[..., Account], account: Account
) -> None:
    user, hidden = make_user(""), make_account("other@example.com", **NOWHERE)
    AccountGrant.objects.create(user=user, account=account, role="operator")
    client.force_login(user)
    row = question(hidden, "Not for you")
    form = {"action": "send_again", "pk": f"{row.pk}.1"}
    assert "Not for you" not in client.post(reverse("outbox:bulk"), form).content.decode()
    client.post(reverse("outbox:bulk"), form | {"confirmed": "1"})
    assert state(row) == ("failed", "uncertain")


def test_all_that_match_are_counted_by_the_page_that_asks(operator: Client, account: Account) -> None:
    question(account)
    form = {"scope": "all", "filters": "state=needs_decision&action=cancel", "action": "send_again"}
    page = operator.post(reverse("outbox:bulk"), form, follow=True).content.decode()
    assert "Send again: all that match" in page and "may get them twice" in page
    assert not Operation.objects.exists()


def test_the_button_that_retries_all_holds_for_the_number_it_said(operator: Client, account: Account) -> None:
    outbox_row(account, status="failed", hold="permanent")
    address = reverse("outbox:list") + "?state=failed_for_good"
    asked = operator.get(address).context["retry_all"]
    outbox_row(account, "Failed since", status="failed", hold="permanent")
    url = f"{reverse('outbox:bulk_all')}?state=failed_for_good&action=retry"
    assert operator.post(url, {"asked": asked.sealed()}).status_code == 302
    assert Operation.objects.get().expected == 1
