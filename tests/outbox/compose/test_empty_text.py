"""Send on a mail without a text asks once: by the page, so without a script too, and the next Send sends it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mailbox.mime import message as mime_message
from mailbox.models import Account
from mailbox.storage import raw_store
from outbox.compose.replies import is_unwritten, signed
from outbox.models import OutboxMessage
from tests.rows import NOWHERE

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
COMPOSE = "/outbox/compose/"
SIGNATURE = "Ann\nExample Ltd\n"
QUESTION = "The text is empty. Send it all the same?"


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    made = make_account("ops@example.com", **NOWHERE)
    Account.objects.filter(pk=made.pk).update(signature=SIGNATURE)
    return made


def typed(account: Account, **changes: Any) -> dict[str, Any]:
    base = {"account": account.pk, "to": "ann@example.com", "subject": "The file", "body_text": ""}
    return {**base, "idempotency_key": str(uuid.uuid4()), **changes}


def asked_again(page: str) -> dict[str, Any]:
    """The hidden fields of the form that came back, and the boxes that are ticked, as a browser sends them."""
    form = page.split('class="compose"', 1)[1].split("</form>")[0]
    given: dict[str, Any] = {}
    for tag in re.findall(r"<input [^>]*>", form):
        name, value = (re.search(rf' {part}="([^"]*)"', tag) for part in ("name", "value"))
        if name and value and (' type="hidden"' in tag or " checked" in tag):
            given.setdefault(name[1], []).append(unescape(value[1]))
    return given


@pytest.mark.parametrize("text", ["", " \n\t", "\r\n\r\n-- \r\nAnn\r\nExample Ltd\r\n", "--\nAnn\nExample Ltd"])
@pytest.mark.in_part(2)
def test_the_first_press_asks_and_the_second_sends(operator: Client, account: Account, text: str) -> None:
    fields = typed(account, body_text=text, cc="carol@example.com")
    answer = operator.post(COMPOSE, fields)
    page = answer.content.decode()
    assert answer.status_code == 200 and QUESTION in page and not OutboxMessage.objects.exists()
    assert 'value="The file"' in page and 'value="carol@example.com"' in page
    fields |= asked_again(page)
    assert operator.post(COMPOSE, fields).status_code == operator.post(COMPOSE, fields).status_code == 302
    row = OutboxMessage.objects.get()  # a double click included
    assert row.body_text == text.replace("\r\n", "\n")
    assert mime_message.parse(raw_store.open_raw(row.mime_digest)).body_text.strip() == row.body_text.strip()


def test_a_text_is_not_asked_about(operator: Client, account: Account) -> None:
    assert operator.post(COMPOSE, typed(account, body_text=f"See it.{signed(SIGNATURE)}")).status_code == 302
    assert operator.post(COMPOSE, typed(account, body_text="-- \nCarol")).status_code == 302  # no signature of ours


def test_what_is_wrong_elsewhere_is_said_first(operator: Client, account: Account) -> None:
    page = operator.post(COMPOSE, typed(account, to="ann")).content.decode()
    assert "is no address" in page and QUESTION not in page and "unwritten" not in asked_again(page)


def test_a_file_is_kept_while_the_page_asks(operator: Client, account: Account) -> None:
    fields = typed(account, attachments=[SimpleUploadedFile("a.pdf", b"%PDF-1.4", "application/pdf")], text_format="")
    page = operator.post(COMPOSE, fields).content.decode()
    assert QUESTION in page and "Choose the attachments again" not in page
    del fields["attachments"]
    assert operator.post(COMPOSE, fields | asked_again(page)).status_code == 302
    assert [each.filename for each in OutboxMessage.objects.get().attachment_rows.all()] == ["a.pdf"]


def test_the_text_may_be_written_after_all(operator: Client, account: Account) -> None:
    fields = typed(account)
    fields |= asked_again(operator.post(COMPOSE, fields).content.decode())
    assert operator.post(COMPOSE, fields | {"body_text": "Here it is.", "text_format": "markdown"}).status_code == 302
    assert OutboxMessage.objects.get().body_html == '<p dir="auto">Here it is.</p>\n'


def test_two_questions_are_asked_in_one_go_and_neither_twice(operator: Client, account: Account) -> None:
    fields = typed(account, body_text="First")
    operator.post(COMPOSE, fields)
    fields |= {"body_text": ""}
    page = operator.post(COMPOSE, fields).content.decode()
    assert QUESTION in page and "was already made from this page" in page
    first = OutboxMessage.objects.get()
    for answers in ({"another": str(first.pk)}, {"unwritten": "1"}):  # one is answered: the other asks, and keeps it
        page = operator.post(COMPOSE, fields | answers).content.decode()
        kept = asked_again(page)
        assert kept.get("another", [None])[0] == answers.get("another") and kept["unwritten"] == ["1"]
        assert OutboxMessage.objects.count() == 1
    assert operator.post(COMPOSE, fields | {"another": str(first.pk), "unwritten": "1"}).status_code == 302
    assert OutboxMessage.objects.count() == 2


def test_markdown_and_pictures_without_a_text_are_one_mail_too(operator: Client, account: Account) -> None:
    fields = typed(account, text_format="markdown", unwritten="1")
    assert operator.post(COMPOSE, fields).status_code == 302
    assert OutboxMessage.objects.get().body_html == ""


@pytest.mark.parametrize(
    ("text", "signature", "expected"),
    [
        ("", "", True),
        ("\n\n", "Ann", True),
        ("\n\n-- \nAnn\n", "Ann", True),
        ("-- \nAnn\nBob", "Ann", False),
        ("Ann", "Ann", False),
        ("\n\n-- \nAnn\n\n\nOn Monday Bob wrote:\n> Hello", "Ann", False),  # what is answered is no empty text
        (".", "", False),
    ],
)
def test_what_is_an_empty_text(text: str, signature: str, expected: bool) -> None:
    assert is_unwritten(text, signature) is expected
