"""The tabs of what failed open with its commonest causes, each with what mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AccountGrant
from outbox.models import OutboxMessage
from outbox.views.lists.failure_groups import FailureGroup, shared_words
from tests.rows import NOWHERE, outbox_row

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
LIST = "/outbox/"


def refused(account: Account, to: str, error: str, hold: str = "permanent", **fields: Any) -> OutboxMessage:
    row = outbox_row(account, to=to, status="failed", hold=hold, error=error, **fields)
    row.recipients.update(address=to)
    return row


def groups(client: Client, state: str = "failed_for_good") -> list[FailureGroup]:
    found: list[FailureGroup] = client.get(LIST, {"state": state}).context["groups"]
    return found


@pytest.mark.parametrize(
    ("said", "shared"),
    [
        (
            "550 5.1.1 <ann@example.org>: Recipient address rejected: User unknown",
            "Recipient address rejected: User unknown",
        ),
        ("550 5.1.1 user unknown", "550 5.1.1 user unknown"),
        ("ann@example.org: 550 5.1.1 <ann@example.org> No such user here", "No such user here"),
        ("ann@example.org: 550 5.1.1 user unknown", "550 5.1.1 user unknown"),
        ("552-5.2.2 The mailbox is full 4f3a9c21 - gsmtp", "552-5.2.2 The mailbox is full"),
        ("451 4.7.1 Greylisted, try again in 299 seconds", "451 4.7.1 Greylisted, try again in"),
        ("Connection refused\nTraceback", "Connection refused"),
        ("1234", ""),
        ("", ""),
    ],
)
def test_what_differs_from_mail_to_mail_is_no_part_of_the_cause(said: str, shared: str) -> None:
    assert shared_words(said) == shared


def test_a_cause_counts_its_mails_and_its_link_finds_these_and_no_others(operator: Client, account: Account) -> None:
    for number in range(3):
        to = f"user{number}@example.org"
        refused(account, to, f"{to}: 550 5.1.1 user unknown <{to}>")  # as a delivery writes it down
    refused(account, "a@other.example", "550 5.1.1 user unknown <a@other.example>")
    for number in range(2):
        refused(account, f"b{number}@example.org", f"552 5.2.2 mailbox full (id {number}77)")
    first, second = groups(operator)
    assert (first.number, first.cause.words, first.cause.domain) == (3, "550 5.1.1 user unknown", "example.org")
    assert (second.number, second.cause.words) == (2, "552 5.2.2 mailbox full")
    assert first.is_unknown_user and not second.is_unknown_user
    shown = operator.get(f"{LIST}?{first.query}")
    assert {each.row.to for each in shown.context["rows"]} == {f"user{number}@example.org" for number in range(3)}
    assert "Server said “550 5.1.1 user unknown”" in shown.content.decode()
    asked = operator.get(f"{reverse('outbox:bulk_all')}?{second.query}&action=retry").content.decode()
    assert ">2</strong> of 2 mails that match" in asked


def test_a_cause_counts_what_its_link_finds_where_its_words_are_those_of_others_too(
    operator: Client, account: Account
) -> None:
    """The same words at several domains at once, with another code and within a longer reply."""
    for number in range(3):
        refused(account, f"a{number}@x.example, b{number}@y.example", f"550 5.1.1 <id-{number}>: No such user")
    refused(account, "c@x.example, d@y.example", "554 5.1.1 <id-4>: No such user")
    refused(account, "e@x.example, f@y.example", "550 5.1.1 <id-5>: No such user, says the relay")
    (group,) = groups(operator)
    assert (group.cause.words, group.cause.domain, group.number) == ("No such user", "", 5)
    assert len(operator.get(f"{LIST}?{group.query}").context["rows"]) == 5
    asked = operator.get(f"{reverse('outbox:bulk_all')}?{group.query}&action=retry").content.decode()
    assert ">5</strong> of 5 mails that match" in asked


def test_each_cause_offers_what_mends_it(operator: Client, account: Account) -> None:
    for number in range(2):
        refused(account, f"u{number}@example.org", "550 5.1.1 user unknown")
        refused(account, f"u{number}@example.org", "535 5.7.8 bad credentials", hold="sign_in")
        refused(account, f"u{number}@example.org", "451 4.3.0 try later", hold="")
    page = operator.get(LIST, {"state": "failed_for_good"}).content.decode()
    causes = page[page.index("cause-list") : page.index("</ul></section>")]
    assert "Open the account" in causes and "action=retry" not in causes
    assert "/outbox/correct/?state=failed_for_good" in causes
    assert f"/outbox/correct/?row={OutboxMessage.objects.filter(hold='permanent').first().pk}" in page  # type: ignore[union-attr]
    page = operator.get(LIST, {"state": "retrying"}).content.decode()
    assert "action=send_now" in page and "451 4.3.0 try later" in page


def test_causes_are_counted_of_accounts_one_may_see(
    client: Client, make_user: Callable[..., User], make_account: Callable[..., Account], account: Account
) -> None:
    hidden, user = make_account("other@example.com", **NOWHERE), make_user("")
    for each in (account, hidden):
        for number in range(2):
            refused(each, f"u{number}@example.org", f"550 no from {each.email.partition('@')[0]}")
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    client.force_login(user)
    assert [group.cause.words for group in groups(client)] == ["550 no from ops"]
    page = client.get(LIST, {"state": "failed_for_good"}).content.decode()
    assert "action=retry" not in page and "?again=" not in page and "outbox/correct/" not in page
