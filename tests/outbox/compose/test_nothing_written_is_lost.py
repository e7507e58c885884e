"""What was typed survives a sign-out and an old token; one page of writing makes one mail unless the person says so."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account
from outbox.models import Draft, OutboxMessage

pytestmark = pytest.mark.django_db
COMPOSE = "/outbox/compose/"
TEXT = 'First line\n\n  "quoted" & <b>second</b>\nعربي'


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user("operator")


@pytest.fixture
def operator(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def typed(account: Account, **changes: Any) -> dict[str, Any]:
    base = {"account": account.pk, "to": "ann@example.com", "cc": "", "bcc": "", "subject": "Offer", "body_text": TEXT}
    return {**base, "idempotency_key": str(uuid.uuid4()), "version": "1", "draft": "", "start": "", **changes}


def hidden(page: str) -> dict[str, str]:
    """The form's fields as a browser sends them."""
    form = re.search(r'<form method="post" action="[^"]*" class="actions">(.*?)</form>', page, re.S)
    assert form
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form[1], re.S)
    return {name: unescape(value) for name, value in found}


def test_a_mail_sent_while_signed_out_is_kept_through_the_sign_in(account: Account, user: User) -> None:
    """A real browser: tokens are asked for, and signing in changes them."""
    client = Client(enforce_csrf_checks=True)
    client.get(reverse("login"))
    token = client.cookies["csrftoken"].value
    sent = client.post(COMPOSE, typed(account) | {"csrfmiddlewaretoken": token})
    page = sent.content.decode()
    assert sent.status_code == 401 and "You are signed out. Nothing was sent" in page
    assert not Draft.objects.exists() and not OutboxMessage.objects.exists()

    client.force_login(user)  # in another tab, where the token becomes another one
    again = client.post(COMPOSE, hidden(page) | {"do": "draft", "csrfmiddlewaretoken": uuid.uuid4().hex})
    assert again.status_code == 403 and "You signed in again since the page was loaded" in again.content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', again.content.decode())
    assert token and not Draft.objects.exists()
    kept = client.post(COMPOSE, hidden(again.content.decode()) | {"do": "draft", "csrfmiddlewaretoken": token[1]})

    draft = Draft.objects.get(user=user)
    assert (draft.to, draft.subject, draft.body_text) == ("ann@example.com", "Offer", TEXT)
    assert client.get(kept["Location"]).context["form"].initial["body_text"] == TEXT
    assert not OutboxMessage.objects.exists()


def test_whoever_is_signed_out_gets_no_page_to_write_on_and_no_content_of_ours(
    client: Client, account: Account
) -> None:
    assert client.get(COMPOSE)["Location"].startswith(reverse("login"))
    page = client.post(f"{COMPOSE}?reply_to=1", {"to": '"><script>alert(1)</script>'}).content.decode()
    assert "<script>alert" not in page and "ops@example.com" not in page


def test_the_same_form_sent_after_back_is_the_same_mail(operator: Client, account: Account) -> None:
    form = typed(account)
    first, second = operator.post(COMPOSE, form), operator.post(COMPOSE, form)
    assert first["Location"] == second["Location"] and OutboxMessage.objects.count() == 1


@pytest.mark.parametrize("change", [{"subject": "Offer 2"}, {"body_text": "Other"}, {"to": "bob@example.com"}])
def test_what_was_retyped_after_back_asks_before_it_becomes_a_second_mail(
    operator: Client, account: Account, change: dict[str, str]
) -> None:
    form = typed(account)
    operator.post(COMPOSE, form)
    first = OutboxMessage.objects.get()

    asked = operator.post(COMPOSE, form | change)

    page = asked.content.decode()
    assert asked.status_code == 200 and OutboxMessage.objects.count() == 1
    assert "was already made from this page" in page and reverse("outbox:detail", args=[first.pk]) in page
    assert operator.post(COMPOSE, form | change | {"another": str(first.pk)}).status_code == 302
    assert OutboxMessage.objects.count() == 2
    # The answer was about the first; what is typed once more is asked about once more.
    third = operator.post(COMPOSE, form | {"subject": "Third", "another": str(first.pk)})
    assert third.status_code == 200 and OutboxMessage.objects.count() == 2


def test_one_draft_in_two_tabs_asks_in_the_second(operator: Client, account: Account) -> None:
    form = typed(account)
    saved = operator.post("/outbox/drafts/save/", form).json()
    tabs = [operator.get(COMPOSE, {"draft": saved["draft"]}).context["form"].initial for _ in range(2)]
    fields = [form | {"idempotency_key": str(tab["idempotency_key"]), "draft": saved["draft"]} for tab in tabs]
    address = f"{COMPOSE}?draft={saved['draft']}&key={form['idempotency_key']}"  # as the page's script leaves it
    assert operator.post(address, fields[0] | {"version": saved["version"]}).status_code == 302
    second = operator.post(address, fields[1] | {"version": saved["version"], "subject": "Written in the second tab"})
    assert "was already made from this page" in second.content.decode()
    assert "Written in the second tab" in second.content.decode()
    assert OutboxMessage.objects.count() == 1


def test_what_was_taken_back_is_no_mail_to_ask_about(operator: Client, account: Account) -> None:
    form = typed(account)
    operator.post(COMPOSE, form)
    OutboxMessage.objects.update(status="cancelled")
    assert operator.post(COMPOSE, form | {"subject": "Better"}).status_code == 302


def test_back_to_a_draft_that_was_sent_leads_to_its_mail(
    operator: Client, account: Account, make_user: Callable[..., User]
) -> None:
    kept = operator.post(COMPOSE, typed(account) | {"do": "draft"})
    form = operator.get(kept["Location"]).context["form"].initial
    draft = Draft.objects.get()
    fields = {"idempotency_key": str(form["idempotency_key"]), "draft": draft.pk, "version": draft.version}
    operator.post(kept["Location"], typed(account) | fields)
    row = OutboxMessage.objects.get()
    assert not Draft.objects.exists()
    assert operator.get(kept["Location"])["Location"] == reverse("outbox:detail", args=[row.pk])
    operator.force_login(make_user("operator", "somebody-else"))
    assert operator.get(kept["Location"]).status_code == 404
