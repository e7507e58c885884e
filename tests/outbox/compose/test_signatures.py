"""An account's signature: below what is written, above what is answered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mailbox.models import Account
from tests.rows import NOWHERE, letter, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
COMPOSE = "/outbox/compose/"


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    made = make_account("ops@example.com", **NOWHERE)
    Account.objects.filter(pk=made.pk).update(signature="Ann\nExample Ltd\n")
    return made


def body(client: Client, query: str = "") -> str:
    return str(client.get(COMPOSE + query).context["form"].initial.get("body_text", ""))


def test_a_mail_begins_with_the_signature_of_its_account(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("operator"))
    assert body(client) == "\n\n-- \nAnn\nExample Ltd\n"
    other = make_account("other@example.com", **NOWHERE)
    assert body(client) == ""  # which account it goes out from is not known yet
    assert body(client, f"?account={account.pk}") == "\n\n-- \nAnn\nExample Ltd\n"
    assert body(client, f"?account={other.pk}") == ""


def test_an_answer_is_signed_above_what_it_answers(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("operator"))
    message = store(account, letter("Order", "Dear Bob"))
    for way in ("reply_to", "reply_all"):
        text = body(client, f"?{way}={message.pk}")
        assert text.startswith("\n\n-- \nAnn\nExample Ltd\n\n\nOn ")
        assert "> Dear Bob" in text
    assert body(client, f"?forward={message.pk}").startswith("\n\n-- \nAnn\nExample Ltd\n\n\n----------")
