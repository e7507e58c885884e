"""Saves of one page of writing arrive in another order than they left it, as the page waits for no answer when it is
left: the newest stands, whichever came last. Two tabs are two pages, and are still told of each other.
"""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mailbox.models import Account
from outbox.models import Draft, OutboxMessage

pytestmark = pytest.mark.django_db
SAVE, COMPOSE = "/outbox/drafts/save/", "/outbox/compose/"


@pytest.fixture
def fields(account: Account) -> dict[str, Any]:
    base = {"account": account.pk, "to": "ann@example.com", "cc": "", "bcc": "", "subject": "Half", "body_text": "-"}
    return {**base, "idempotency_key": str(uuid.uuid4()), "version": "1", "draft": "", "page": "first"}


def numbered(fields: dict[str, Any], number: int) -> dict[str, Any]:
    return fields | {"page_save": str(number), "body_text": f"as of {number}"}


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_the_newest_save_stands_in_whichever_order_the_first_three_arrive(
    operator: Client, fields: dict[str, Any], order: tuple[int, ...]
) -> None:
    for number in order:  # none knows the draft's number yet
        assert operator.post(SAVE, numbered(fields, number)).status_code == 200
    assert Draft.objects.get().body_text == "as of 3"


@pytest.mark.parametrize("order", list(itertools.permutations((2, 3, 4))))
def test_the_newest_save_stands_of_those_that_left_before_an_answer(
    operator: Client, fields: dict[str, Any], order: tuple[int, ...]
) -> None:
    saved = operator.post(SAVE, numbered(fields, 1)).json()
    for number in order:
        assert operator.post(SAVE, numbered(fields, number) | saved).status_code == 200
    assert Draft.objects.get().body_text == "as of 4"


def test_a_file_that_arrives_after_the_last_words_is_attached_and_they_stay(
    operator: Client, fields: dict[str, Any]
) -> None:
    saved = operator.post(SAVE, numbered(fields, 1)).json()
    operator.post(SAVE, numbered(fields, 3) | saved)
    upload = SimpleUploadedFile("a.pdf", b"%PDF-1.4", "application/pdf")
    operator.post(SAVE, numbered(fields, 2) | {"draft": saved["draft"], "attachments": [upload]})
    draft = Draft.objects.get()
    assert draft.body_text == "as of 3"
    assert draft.kept == [file.form_key for file in draft.files.all()] != []


def test_another_tab_is_told_whatever_number_its_save_has(operator: Client, fields: dict[str, Any]) -> None:
    saved = operator.post(SAVE, numbered(fields, 1)).json()
    other = numbered(fields, 1) | saved | {"page": "second", "body_text": "second tab"}
    assert operator.post(SAVE, other).status_code == 200
    late = operator.post(SAVE, numbered(fields, 9) | saved)
    assert (late.status_code, Draft.objects.get().body_text) == (409, "second tab")
    assert operator.post(SAVE, other | {"version": "1", "page": "third", "page_save": "50"}).status_code == 409


@pytest.mark.parametrize("first", ["save", "button"])
def test_the_button_stands_over_a_save_that_left_before_it(
    operator: Client, fields: dict[str, Any], first: str
) -> None:
    saved = operator.post(SAVE, numbered(fields, 1)).json()
    save, button = numbered(fields, 2) | saved, numbered(fields, 3) | saved | {"do": "draft"}
    for address, form in ((SAVE, save), (COMPOSE, button))[:: 1 if first == "save" else -1]:
        assert operator.post(address, form).status_code in (200, 302)
    assert Draft.objects.get().body_text == "as of 3"


@pytest.mark.parametrize("knows_its_draft", [True, False])
def test_nothing_is_left_of_a_draft_whose_last_save_arrived_just_before_its_mail(
    operator: Client, fields: dict[str, Any], knows_its_draft: bool
) -> None:
    saved = operator.post(SAVE, numbered(fields, 1)).json() if knows_its_draft else {}
    operator.post(SAVE, numbered(fields, 2) | saved)
    operator.post(COMPOSE, numbered(fields, 3) | saved)
    assert OutboxMessage.objects.get().body_text == "as of 3"
    assert not Draft.objects.exists()


def test_nothing_is_left_of_a_first_save_that_its_mail_has_overtaken(operator: Client, fields: dict[str, Any]) -> None:
    mail = numbered(fields, 2) | {"body_text": "as of 1, and a word more\n\nAnn", "to": "Ann <ann@example.com>"}
    operator.post(COMPOSE, mail)
    assert operator.post(SAVE, numbered(fields, 1)).status_code == 204
    assert not Draft.objects.exists()


@pytest.mark.parametrize("other", [{"body_text": "another"}, {"to": "bob@example.com"}, {"subject": "Whole"}])
def test_what_is_written_on_the_page_of_a_mail_that_is_made_is_kept(
    operator: Client, fields: dict[str, Any], other: dict[str, str]
) -> None:
    operator.post(COMPOSE, numbered(fields, 1))
    assert operator.post(SAVE, numbered(fields, 2) | {"body_text": "as of 1"} | other).status_code == 200
    assert Draft.objects.get().subject == other.get("subject", "Half")


def test_a_mail_that_another_page_sends_takes_no_draft_along(operator: Client, fields: dict[str, Any]) -> None:
    operator.post(SAVE, numbered(fields, 2))
    operator.post(COMPOSE, numbered(fields, 3) | {"page": "second"})
    operator.post(COMPOSE, numbered(fields, 1) | {"body_text": "older", "another": OutboxMessage.objects.get().pk})
    assert OutboxMessage.objects.count() == 2
    assert Draft.objects.get().body_text == "as of 2"


def test_a_form_that_is_refused_goes_on_from_the_save_that_arrived_meanwhile(
    operator: Client, fields: dict[str, Any]
) -> None:
    saved = operator.post(SAVE, numbered(fields, 1)).json()
    operator.post(SAVE, numbered(fields, 2) | saved)
    answer = operator.post(f"{COMPOSE}?draft={saved['draft']}", numbered(fields, 3) | saved | {"to": "nobody"})
    assert '<input type="hidden" name="version" value="2">' in answer.content.decode()
