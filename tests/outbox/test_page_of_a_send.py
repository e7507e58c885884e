"""The page of a send: its buttons, recipients, attempts and content."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AuditEntry
from outbox.models import OutboxMessage, OutboxRecipient
from tests.outbox.outbox_pages import REFUSED, get, in_every_state, other_account
from tests.rows import attempt, letter, letter_with, outbox_row

__all__ = ["other_account"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
BUTTONS = {
    "queued": ["Cancel"],
    "sending": [],
    "retrying": ["Send now", "Cancel"],
    "needs_decision": ["Mark as sent", "Send again"],
    "failed_for_good": ["Retry", "Cancel"],
    "sent": [],
    "cancelled": [],
}


@pytest.mark.parametrize("state", BUTTONS)
def test_each_state_offers_the_buttons_that_mend_it_to_operators_only(
    client: Client, make_user: Callable[..., User], account: Account, state: str
) -> None:
    row = in_every_state(account)[state]
    client.force_login(make_user("operator"))
    found = re.findall(r'<button id="choice-[^>]*>([^<]*)<', get(client, "outbox:detail", row.pk))
    assert found == BUTTONS[state]
    client.force_login(make_user("viewer"))
    assert "choice-" not in get(client, "outbox:detail", row.pk)


def test_dangerous_buttons_ask_with_the_consequence(operator: Client, account: Account) -> None:
    row = in_every_state(account)["needs_decision"]
    assert "The recipient may get it twice." in get(operator, "outbox:detail", row.pk)


def test_a_send_shows_its_recipients_attempts_words_and_who_did_what(
    operator: Client, account: Account, make_user: Callable[..., User]
) -> None:
    row = in_every_state(account)["failed_for_good"]
    OutboxRecipient.objects.filter(outbox=row).update(status="refused", reply=REFUSED, reply_code=550)
    transcript = [{"at": timezone.now().isoformat(), "phase": "rcpt", "reply": "550 in the transcript"}]
    attempt(row, phase="rcpt", outcome="permanent", reply=REFUSED, transcript=transcript)
    AuditEntry.objects.create(user=make_user(username="kim"), verb="retry", target=f"outbox:{row.pk}")
    shown = get(operator, "outbox:detail", row.pk)
    assert "refused it for good" in shown
    for words in (
        REFUSED,
        "550 in the transcript",
        'rcpt<span class="visually-hidden">: stopped here',
        "web1/3",
        "kim",
    ):
        assert words in shown
    assert f"&lt;outbox-{row.pk}-0@example.com&gt;" in shown


def test_the_page_of_a_send_polls_while_something_may_happen_and_answers_204_when_nothing_did(
    viewer: Client, account: Account
) -> None:
    rows = in_every_state(account)
    for state, row in rows.items():
        response = viewer.get(reverse("outbox:detail", args=[row.pk]))
        polls = reverse("outbox:state", args=[row.pk]) in response.content.decode()
        assert polls == (state in ("queued", "sending", "retrying"))
    row = rows["queued"]
    seen = viewer.get(reverse("outbox:detail", args=[row.pk])).context["fingerprint"]
    poll = reverse("outbox:state", args=[row.pk])
    assert viewer.get(poll, {"seen": seen}).status_code == 204
    OutboxMessage.objects.filter(pk=row.pk).update(status="sent", sent_at=timezone.now())
    update = viewer.get(poll, {"seen": seen}).content.decode()
    assert "has accepted it" in update
    assert "hx-get" not in update


def test_the_frozen_mail_and_its_attachments_are_served_exactly(viewer: Client, account: Account) -> None:
    content = bytes(range(256)) * 9
    raw = letter_with(content, "契約.pdf")
    row = outbox_row(account, raw=raw)
    eml = viewer.get(reverse("outbox:eml", args=[row.pk]))
    assert eml.content == raw
    file = viewer.get(reverse("outbox:attachment", args=[row.pk, 0]))
    assert file.content == content
    for response in (eml, file):
        assert response["Content-Disposition"].startswith("attachment")
        assert response["Content-Security-Policy"].startswith("sandbox")
    assert viewer.get(reverse("outbox:attachment", args=[row.pk, 5])).status_code == 404


def test_the_html_of_a_send_stands_in_a_sandboxed_frame(viewer: Client, account: Account) -> None:
    row = outbox_row(account, body_html="<p>hi</p><script>bad()</script>", raw=letter(html="<p>hi</p>"))
    response = viewer.get(reverse("outbox:html", args=[row.pk]))
    assert response["Content-Security-Policy"].startswith("sandbox")
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert b"bad()" not in response.content
