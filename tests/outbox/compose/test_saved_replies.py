"""Saved replies: their fields, who keeps them, and how one comes into a mail without a script."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AccountGrant
from outbox.compose.saved_replies import fill, insert, values_of
from outbox.models import Draft, SavedReply
from tests.rows import NOWHERE, letter, store

COMPOSE = "/outbox/compose/"


def test_fields_are_replaced_once_and_what_is_none_stays() -> None:
    values = values_of('"{{subject}}" <ann@example.com>, bob@example.com', "Operations", "Re: {{ sender name }}")
    text = (
        "Dear {{ recipient name }}, {{Sender  Name}} {{ subject }} {{ settings.SECRET_KEY }} {% now %} {{{{subject}}}}"
    )
    assert fill(text, values) == (
        "Dear {{subject}}, Operations {{ sender name }} {{ settings.SECRET_KEY }} {% now %} {{{{ sender name }}}}"
    )
    assert values_of("ann@example.com", "", "")["recipient name"] == "ann@example.com"
    assert values_of("", "", "")["recipient name"] == ""


@pytest.mark.parametrize(
    ("written", "whole"),
    [
        ("", "Hello\n"),
        ("Dear Ann\n", "Dear Ann\n\nHello\n"),
        ("\n\n-- \nOps\n", "Hello\n\n-- \nOps\n"),
        ("Dear Ann\n\n-- \nOps\n", "Dear Ann\n\nHello\n\n-- \nOps\n"),
        ("\n\nOn 2026-01-31 at 09:00, Ann wrote:\n> Hi\n", "Hello\n\nOn 2026-01-31 at 09:00, Ann wrote:\n> Hi\n"),
    ],
)
def test_it_stands_below_what_was_typed_and_above_signature_and_quotation(written: str, whole: str) -> None:
    assert insert(written, "Hello") == whole


@pytest.mark.django_db
@pytest.mark.pages
def test_a_chosen_reply_comes_into_an_answer_without_a_script_and_nothing_typed_is_lost(
    client: Client, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    account = make_account("ops@example.com", display_name="Operations", **NOWHERE)
    parent = store(account, letter("Order 7", "Where?", From="Ann Miller <ann@example.com>"))
    client.force_login(make_user("operator"))
    text = "Dear {{ recipient name }},\n{{ subject }} is on its way.\n{{ sender name }}"
    listed = reverse("outbox:saved_replies")
    refused = client.post(listed, {"name": "Late", "text": "{{ password }}"})
    assert "There is no such field: {{ password }}" in refused.content.decode().replace("&#x27;", "'")
    assert client.post(listed, {"name": "On its way", "text": text}).status_code == 302
    reply = SavedReply.objects.get()
    page = client.get(f"{COMPOSE}?reply_to={parent.pk}")
    assert f'<option value="{reply.pk}">On its way</option>' in page.content.decode()
    begun = page.context["form"].initial
    form = {name: begun[name] for name in ("account", "to", "subject")} | {
        "body_text": f"Typed{begun['body_text']}",
        "idempotency_key": str(uuid.uuid4()),
        "saved_reply": reply.pk,
        "do": "insert",
    }
    kept = client.post(f"{COMPOSE}?reply_to={parent.pk}", form)
    written = client.get(kept["Location"]).context["form"].initial["body_text"]
    assert written.startswith("Typed\n\nDear Ann Miller,\nOrder 7 is on its way.\nOperations\n\nOn ")
    assert Draft.objects.get().body_text == written
    alias = account.aliases.create(email="desk@example.com")
    asked = {"to": "bob@example.com", "subject": "X", "account": f"{account.pk}-{alias.pk}"}
    told = client.get(reverse("outbox:saved_reply_text", args=[reply.pk]), asked)
    assert told.json()["text"] == "Dear bob@example.com,\nX is on its way.\ndesk@example.com"


@pytest.mark.django_db
@pytest.mark.pages
def test_a_reply_of_another_account_is_neither_offered_nor_changed(
    client: Client, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    own, other = make_account("own@example.com", **NOWHERE), make_account("other@example.com", **NOWHERE)
    user = make_user("")
    AccountGrant.objects.create(user=user, account=own, role="operator")
    of_other = SavedReply.objects.create(name="Secret", text="x", account=other)
    of_all = SavedReply.objects.create(name="For all", text="x")
    client.force_login(user)
    page = client.get(COMPOSE).content.decode()
    assert "For all" in page and "Secret" not in page
    assert client.get(reverse("outbox:saved_reply_text", args=[of_other.pk])).status_code == 404
    assert client.get(reverse("outbox:saved_reply", args=[of_other.pk])).status_code == 404
    assert client.post(reverse("outbox:saved_reply_remove", args=[of_all.pk])).status_code == 403
    listed = reverse("outbox:saved_replies")
    for account in ("", other.pk):
        assert client.post(listed, {"name": "x", "text": "x", "account": account}).status_code == 200
    assert client.post(listed, {"name": "x", "text": "x", "account": own.pk}).status_code == 302
    assert SavedReply.objects.count() == 3
