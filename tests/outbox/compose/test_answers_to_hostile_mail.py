"""Answers to mails that were written to break or deceive: what the form fills in may be sent, and nothing is smuggled
into the header or to recipients that the writer did not see."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from mailbox.mime import tree
from mailbox.mime.normal_form import MOST_MARKS
from mailbox.models import Account
from mailbox.storage import raw_store
from outbox.models import OutboxMessage
from tests.mailbox.html.images_by_size import png
from tests.mailbox.messages.test_hostile_messages import HOSTILE
from tests.rows import letter_with, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
OWN_FIELDS = ("date", "from", "to", "cc", "subject", "in-reply-to", "references", "mime-version", "content-type")
OWN_FIELDS += ("content-transfer-encoding", "auto-submitted")
FROM_NOBODY = "Name at least one recipient."
REFUSED_FILE = "attachment content type is not allowed"


def answered(client: Client, way: str, pk: int) -> tuple[dict[str, Any], Any]:
    """The form as it was filled in for this way, and the response to its Send."""
    url = f"{reverse('outbox:compose')}?{way}={pk}"
    page = client.get(url)
    assert page.status_code == 200
    form = page.context["form"]
    typed = {
        name: form[name].value() or "" for name in ("account", "to", "cc", "subject", "body_text", "idempotency_key")
    }
    typed["to"] = typed["to"] if way != "forward" else "x@example.net"
    return typed, client.post(url, typed)


@pytest.mark.parametrize("way", ["reply_to", "reply_all", "forward"])
@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.in_part(3)
def test_what_the_form_filled_in_may_be_sent_and_holds_no_field_of_a_strangers(
    operator: Client, account: Account, raw: bytes, way: str
) -> None:
    typed, response = answered(operator, way, store(account, raw).pk)
    if response.status_code == 200:
        said = [str(each) for errors in response.context["form"].errors.values() for each in errors]
        assert said and all(each == FROM_NOBODY or REFUSED_FILE in each for each in said), said
        return
    row = OutboxMessage.objects.get()
    header = raw_store.open_raw(row.mime_digest).partition(b"\r\n\r\n")[0]
    names = [name.lower() for name, _ in tree.read_headers(header + b"\r\n\r\n").fields]
    assert set(names) <= set(OWN_FIELDS) and len(names) == len(set(names)), names
    assert all(len(line) <= 998 and not set(line) & set(b"\0\r\n") for line in header.split(b"\r\n"))
    for address in row.recipients.values_list("address", flat=True):
        assert address in f"{typed['to']}, {typed['cc']}"


def test_the_editor_is_given_no_picture_of_a_stranger_that_a_browser_cannot_hold(
    operator: Client, account: Account
) -> None:
    """Of a mail that is forwarded, whose files the text may show."""
    for octets, status in ((png(50_000, 50_000), 302), (png(40, 30), 200)):
        message = store(account, letter_with(octets, "plan.png", "image/png"))
        answer = operator.get(f"{reverse('outbox:compose_picture')}?forward={message.pk}&file=0")
        assert answer.status_code == status


@pytest.mark.parametrize("way", ["reply_to", "forward"])
def test_a_stack_of_marks_is_filled_in_as_high_as_a_browser_can_lay_out(
    operator: Client, account: Account, way: str
) -> None:
    message = store(account, HOSTILE["accents without end"])
    page = operator.get(f"{reverse('outbox:compose')}?{way}={message.pk}")
    text = page.context["form"]["body_text"].value().rpartition("\n\n")[2]  # below the lines of the header
    assert "a\u0315" in text
    assert max(len(each) for each in re.findall("[\u0300\u0315]+", text)) == MOST_MARKS
