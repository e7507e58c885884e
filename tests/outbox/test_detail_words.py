"""The page of one send: what it says stays true while its state changes under it."""

from __future__ import annotations

from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AuditEntry
from outbox.models import OutboxMessage
from tests.rows import attempt, outbox_row, workers_run

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def page(client: Client, row: OutboxMessage) -> str:
    return client.get(reverse("outbox:detail", args=[row.pk])).content.decode()


def test_the_crumb_follows_the_state(operator: Client, account: Account) -> None:
    row = outbox_row(account)
    assert 'id="crumbs"><a' in page(operator, row)
    OutboxMessage.objects.filter(pk=row.pk).update(status="sent")
    update = operator.get(reverse("outbox:state", args=[row.pk])).content.decode()
    assert 'id="crumbs" hx-swap-oob="true"' in update
    assert "?state=sent" in update


def test_a_refused_recipient_shows_code_and_words(operator: Client, account: Account) -> None:
    row = outbox_row(account, status="failed", hold="permanent")
    row.recipients.update(status="refused", reply_code=550, reply="5.1.1 Nobody of that name")
    assert "550 5.1.1 Nobody of that name" in page(operator, row)
    row.recipients.update(reply="550 5.1.1 Nobody of that name")
    assert "550 550" not in page(operator, row)


def test_what_was_clicked_is_told_in_words(operator: Client, account: Account) -> None:
    row = outbox_row(account)
    AuditEntry.objects.create(account=account, verb="mark_as_sent", target=f"outbox:{row.pk}")
    AuditEntry.objects.create(account=account, verb="send", target=f"outbox:{row.pk}")
    shown = page(operator, row)
    assert "marked as sent" in shown
    assert "wrote a mail" in shown
    assert "mark_as_sent" not in shown


def test_a_row_that_needs_a_decision_cannot_be_ticked(operator: Client, account: Account) -> None:
    row = outbox_row(account, status="failed", hold="uncertain")
    assert f'data-row="{row.pk}" form="bulk"' not in operator.get(reverse("outbox:list")).content.decode()
    OutboxMessage.objects.filter(pk=row.pk).update(hold="permanent")
    assert f'data-row="{row.pk}" form="bulk"' in operator.get(reverse("outbox:list")).content.decode()


def test_after_a_retry_the_page_says_that_it_was_asked_for_and_not_that_the_refusal_was_for_now(
    operator: Client, account: Account
) -> None:
    row = outbox_row(account, status="failed", hold="permanent", error="550 5.1.1 Nobody of that name")
    assert "refused it for good" in page(operator, row)
    operator.post(reverse("outbox:retry", args=[row.pk]))
    assert "Another attempt was asked for. It waits for a worker, and no worker is running." in page(operator, row)
    workers_run()
    shown = page(operator, row)
    assert "Another attempt was asked for. It waits for a worker, which takes it within seconds." in shown
    assert "failed for now" not in shown
    Account.objects.update(sending_paused_at=timezone.now())
    assert "Another attempt was asked for. Sending is paused for" in page(operator, row)


def test_a_recipient_that_was_put_off_is_not_called_refused(operator: Client, account: Account) -> None:
    row = outbox_row(account, status="failed", error="451 4.7.1 Greylisted")
    row.recipients.update(status="refused", reply_code=451, reply="4.7.1 Greylisted")
    shown = page(operator, row)
    assert "put off" in shown
    assert "refused</span>" not in shown


def test_a_cancelled_mail_was_never_sent_only_where_that_is_known(operator: Client, account: Account) -> None:
    """After "Send again" the mail can be cancelled like any other, but not what an attempt before may have done."""
    never, maybe, partly = (outbox_row(account, f"Mail {n}", status="failed") for n in range(3))
    attempt(never, outcome="transient", phase="mail")
    attempt(maybe, outcome="uncertain", phase="dot")
    attempt(partly, outcome="partial", phase="accepted")
    partly.recipients.update(status="accepted")
    partly.recipients.create(kind="to", address="late@example.com", status="refused", reply_code=450, reply="Later")

    said = {
        row: unescape(
            operator.post(reverse("outbox:cancel", args=[row.pk]), {"confirmed": "1"}, follow=True).content.decode()
        )
        for row in (never, maybe, partly)
    }

    assert "it is never sent" in said[never]
    for row, words in ((maybe, "whether an attempt before that sent it is unknown"), (partly, "for the others")):
        row.refresh_from_db()
        assert row.status == "cancelled"
        assert words in said[row] and "never sent" not in said[row].lower()
        assert words in unescape(page(operator, row))
    assert "not sent</span>" not in said[maybe]
