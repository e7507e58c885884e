"""Further addresses of an account: whom mail comes from, whom answers come from, and what is refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.mime import message as mime_message
from mailbox.models import Account, AccountAlias, AuditEntry
from mailbox.storage import raw_store
from outbox import api
from outbox.compose.submitted_mail import Submitted
from outbox.models import Draft, OutboxMessage
from tests.rows import NOWHERE, letter, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
COMPOSE = "/outbox/compose/"


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", display_name="Operations", signature="Ops", **NOWHERE)


@pytest.fixture
def alias(account: Account) -> AccountAlias:
    return AccountAlias.objects.create(
        account=account, email="Sales@example.com", display_name="Sales desk", signature="Sales"
    )


def typed(sender: str, **changes: Any) -> dict[str, Any]:
    base = {"account": sender, "to": "ann@example.com", "subject": "Offer", "body_text": "Dear Ann"}
    return base | {"idempotency_key": str(uuid.uuid4())} | changes


def from_of(row: OutboxMessage) -> str:
    return mime_message.parse(raw_store.open_raw(row.mime_digest)).sender


def test_a_mail_comes_from_the_chosen_address_and_its_envelope_from_the_account(
    operator: Client, account: Account, alias: AccountAlias
) -> None:
    choice = f"{account.pk}-{alias.pk}"
    operator.post(COMPOSE, typed(choice, do="draft"))
    draft = Draft.objects.get()
    assert draft.alias == alias
    assert operator.get(f"{COMPOSE}?draft={draft.pk}").context["form"].initial["account"] == choice
    assert operator.post(COMPOSE, typed(choice)).status_code == 302
    row = OutboxMessage.objects.get()
    assert from_of(row) == row.header_from == "Sales desk <Sales@example.com>"
    assert row.mail_from == "ops@example.com"
    page = operator.get(reverse("outbox:detail", args=[row.pk])).content.decode()
    assert "Sales desk &lt;Sales@example.com&gt;" in page
    assert operator.get(f"{COMPOSE}?again={row.pk}").context["form"].initial["account"] == choice


def test_an_answer_comes_from_the_address_that_was_written_to_and_goes_to_no_own_address(
    operator: Client, account: Account, alias: AccountAlias
) -> None:
    parent = store(
        account,
        letter(
            "Order", "Hello", From="Ann <ann@example.com>", To="sales@EXAMPLE.com, bob@example.com, ops@example.com"
        ),
    )
    begun = operator.get(f"{COMPOSE}?reply_all={parent.pk}").context["form"].initial
    assert begun["account"] == f"{account.pk}-{alias.pk}"
    assert (begun["to"], begun["cc"]) == ("Ann <ann@example.com>", "bob@example.com")
    assert begun["body_text"].startswith("\n\n-- \nSales\n")
    own = store(account, letter("Sent", "Hello", From="Sales@example.com", To="Ann <ann@example.com>"))
    again = operator.get(f"{COMPOSE}?reply_to={own.pk}").context["form"].initial
    assert (again["account"], again["to"]) == (f"{account.pk}-{alias.pk}", "Ann <ann@example.com>")
    other = store(account, letter("Order", "Hello", From="Ann <ann@example.com>", To="list@example.com"))
    assert operator.get(f"{COMPOSE}?reply_to={other.pk}").context["form"].initial["account"] == str(account.pk)


def test_an_address_of_another_account_is_refused(
    operator: Client, account: Account, alias: AccountAlias, make_account: Callable[..., Account]
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    for choice in (f"{other.pk}-{alias.pk}", f"{account.pk}-{alias.pk + 1}", "-", "x"):
        page = operator.post(COMPOSE, typed(choice)).content.decode()
        assert "You cannot send from this account. Choose another." in page
    refused = api.queue(other.pk, "ann@example.com", "Offer", "Dear Ann", sender=alias.email)
    assert refused.error and "other@example.com may not send from Sales@example.com" in refused.error.message
    assert not OutboxMessage.objects.exists()
    accepted = api.queue(account.pk, "ann@example.com", "Offer", "Dear Ann", sender="sales@example.com")
    assert accepted.ok and from_of(OutboxMessage.objects.get()) == "Sales desk <Sales@example.com>"


@pytest.mark.parametrize(
    ("sender", "is_taken"), [("Desk <sales@example.com>", True), ("ops@example.com", True), ("ceo@example.com", False)]
)
def test_a_submitted_mail_comes_from_an_address_of_the_account(
    account: Account, alias: AccountAlias, make_user: Callable[..., User], sender: str, is_taken: bool
) -> None:
    raw = f"From: {sender}\r\nTo: ann@example.com\r\nSubject: x\r\nMessage-ID: <1@x>\r\n\r\nHello\r\n".encode()
    response = api.submit(account.pk, Submitted(raw, ["ann@example.com"]), user=make_user("operator"), program="x")
    assert response.ok is is_taken
    if response.error:
        assert response.error.message.endswith("and no other: ops@example.com, Sales@example.com.")
        return
    row = OutboxMessage.objects.get()
    assert row.mail_from == "ops@example.com"
    assert row.header_from == (sender if "sales" in sender else "")


def test_an_administrator_adds_changes_and_removes_an_address(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("administrator"))
    add, page = reverse("mailbox:alias_add", args=[account.pk]), reverse("mailbox:account", args=[account.pk])
    for taken in ("OPS@example.com", "no address"):
        assert client.post(add, {"email": taken}).status_code == 200
    assert client.post(add, {"email": "desk@example.com", "display_name": "Desk"})["Location"] == page
    assert client.post(add, {"email": "Desk@example.com"}).context["form"].errors["email"]
    alias = AccountAlias.objects.get()
    assert "desk@example.com" in client.get(page).content.decode()
    edit = reverse("mailbox:alias_edit", args=[alias.pk])
    assert client.post(edit, {"email": "desk@example.com", "signature": "The desk"}).status_code == 302
    remove = reverse("mailbox:alias_remove", args=[alias.pk])
    assert "No new mail comes from this address" in client.post(remove).content.decode()
    assert AccountAlias.objects.get().signature == "The desk"
    client.post(remove, {"confirmed": "1"})
    assert not AccountAlias.objects.exists()
    assert set(AuditEntry.objects.filter(at__lte=timezone.now()).values_list("verb", flat=True)) == {
        "add_alias",
        "edit_alias",
        "remove_alias",
    }
