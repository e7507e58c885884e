"""Sending later, undoing, drills: what a person may say of when and how a mail goes out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from mailbox.models import Account, AuditEntry
from mailbox.storage import raw_store
from outbox import api
from outbox.compose.attachments import AttachmentInput
from outbox.delivery import claims, deliver
from outbox.models import DeliveryAttempt, OutboxMessage
from tests.rows import letter, store, tasks_queued, workers_run
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
COMPOSE = "/outbox/compose/"


def queued(account: Account, **changes: Any) -> OutboxMessage:
    response = api.queue(account.pk, "bob@example.test", "Hello", "A text.", **changes)
    assert response.ok and response.data, response
    return OutboxMessage.objects.get(pk=response.data.outbox_id)


def date_of(row: OutboxMessage) -> datetime:
    row.refresh_from_db()
    return parsedate_to_datetime(message_from_bytes(raw_store.open_raw(row.mime_digest))["Date"])


def soon(**delta: int) -> datetime:
    return (timezone.now() + timedelta(**delta)).replace(microsecond=0)


def posted(client: Client, name: str, row: OutboxMessage, **data: str) -> str:
    return client.post(reverse(f"outbox:{name}", args=[row.pk]), data, follow=True).content.decode()


# --- Later ------------------------------------------------------------------------------------------------------
def test_a_mail_for_later_is_claimed_at_its_time_and_bears_its_date(account: Account) -> None:
    at = soon(days=2)
    row = queued(account, send_at=at)
    assert (row.status, row.send_at, row.next_attempt_at) == ("pending", at, at)
    assert tasks_queued() == [] and date_of(row) == at

    assert deliver.accounts_with_due_rows(at - timedelta(seconds=1)) == []
    assert deliver.accounts_with_due_rows(at) == [account.pk]


def test_it_really_goes_out_at_its_time(account_on: Callable[..., Account], smtp_server: Callable[..., Any]) -> None:
    server: SmtpServer = smtp_server("tls")
    account, at = account_on(server), soon(hours=1)
    queued(account, send_at=at)
    assert deliver.deliver_account(account.pk).attempted == 0
    assert deliver.deliver_account(account.pk, clock=lambda: at).sent == 1
    assert len(server.mails()) == 1


def test_a_first_failure_does_not_give_up_a_mail_that_was_to_wait_for_long(account: Account) -> None:
    row = queued(account, send_at=soon(days=30))
    OutboxMessage.objects.update(created_at=timezone.now() - timedelta(days=30), send_at=timezone.now())
    claim = claims.claim_row(row.pk, "here/1", lease_seconds=60, now=soon(days=31))
    assert claim and timezone.now() - claim.tried.created_at < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("send_at", "words"),
    [(soon(days=500), "more than a year away"), (datetime(2040, 1, 1), "with its time zone")],
)
def test_a_time_that_nobody_can_mean_is_refused(account: Account, send_at: datetime, words: str) -> None:
    response = api.queue(account.pk, "bob@example.test", "Hello", "A text.", send_at=send_at)
    assert response.error and words in response.error.message
    assert not OutboxMessage.objects.exists()


def test_a_time_that_is_past_means_now(account: Account) -> None:
    row = queued(account, send_at=soon(days=-1))
    assert row.send_at is None and row.next_attempt_at <= timezone.now()


def test_another_time_is_another_date(operator: Client, account: Account) -> None:
    row, at = queued(account, send_at=soon(days=2)), soon(days=5).replace(second=0)
    page = posted(operator, "reschedule", row, send_at=f"{at:%Y-%m-%dT%H:%M}")
    row.refresh_from_db()
    assert (row.send_at, row.next_attempt_at, date_of(row)) == (at, at, at)
    assert "it goes out at" in page and "Scheduled" in page
    assert AuditEntry.objects.filter(verb="reschedule", target=f"outbox:{row.pk}").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [("", "Choose the date"), ("yesterday", "no date and time"), ("2001-01-01T10:00", "This time is past")],
)
def test_no_time_to_come_changes_nothing(operator: Client, account: Account, given: str, words: str) -> None:
    row = queued(account, send_at=soon(days=2))
    assert words in posted(operator, "reschedule", row, send_at=given)
    assert OutboxMessage.objects.get().send_at == row.send_at


def test_the_time_of_a_mail_that_was_tried_is_no_longer_to_be_changed(account: Account) -> None:
    row = queued(account)
    claim = claims.claim_row(row.pk, "here/1", lease_seconds=60, now=timezone.now())
    assert claim
    claims.release(claim, "later", now=timezone.now())
    refused = api.reschedule(row.pk, soon(days=1), user=None)
    assert refused.error and "was not tried yet" in refused.error.message


def test_send_now_sends_a_scheduled_mail_with_the_date_of_now(operator: Client, account: Account) -> None:
    row = queued(account, send_at=soon(days=2))
    posted(operator, "send_now", row)
    assert "outbox.tasks.deliver" in tasks_queued()
    row.refresh_from_db()
    assert row.next_attempt_at <= timezone.now() and abs(date_of(row) - timezone.now()) < timedelta(minutes=1)


def test_the_lists_say_when_it_goes_out(operator: Client, account: Account) -> None:
    row = queued(account, send_at=soon(days=2))
    queued(account)
    for page in (
        operator.get(reverse("outbox:list") + "?mark=scheduled").content.decode(),
        operator.get(reverse("outbox:detail", args=[row.pk])).content.decode(),
    ):
        assert "Scheduled" in page and f'datetime="{timezone.localtime(row.send_at).isoformat()[:10]}' in page
    listed = operator.get(reverse("outbox:list") + "?mark=scheduled").context["rows"]
    assert [each.row.pk for each in listed] == [row.pk]


def test_a_past_time_typed_into_the_form_is_refused_at_its_field(operator: Client, account: Account) -> None:
    typed = {"account": account.pk, "to": "a@example.com", "subject": "S", "body_text": "T"}
    page = operator.post(COMPOSE, typed | {"send_at": "2001-01-01T10:00"}).content.decode()
    assert "This time is past" in page and not OutboxMessage.objects.exists()
    at = timezone.localtime() + timedelta(days=3)
    operator.post(COMPOSE, typed | {"send_at": f"{at:%Y-%m-%dT%H:%M}"})
    assert OutboxMessage.objects.get().send_at == at.replace(second=0, microsecond=0)


# --- Undo -------------------------------------------------------------------------------------------------------
def test_undo_cancels_and_brings_the_mail_back_as_it_was_written(
    operator: Client, account: Account, settings: Settings
) -> None:
    workers_run()
    settings.OUTBOX_UNDO_SECONDS = 20
    typed = {"account": account.pk, "to": "Ann <ann@example.com>", "cc": "c@example.com", "bcc": "b@example.com"}
    typed |= {"subject": "Invoice", "body_text": "Dear Ann"}
    page = operator.post(
        COMPOSE, typed | {"attachments": SimpleUploadedFile("a.pdf", b"%PDF-1", "application/pdf")}, follow=True
    ).content.decode()
    row = OutboxMessage.objects.get()
    assert "Undo" in page and "data-countdown" in page
    assert tasks_queued() == [] and deliver.accounts_with_due_rows(timezone.now()) == []

    page = posted(operator, "undo", row)

    row.refresh_from_db()
    assert row.status == "cancelled" and not row.attempts.exists()
    for words in ("Ann &lt;ann@example.com&gt;", "c@example.com", "b@example.com", "Invoice", "Dear Ann", "a.pdf"):
        assert words in page
    # Sent again from there, the file goes with it though no browser can choose it by itself.
    operator.post(f"{COMPOSE}?again={row.pk}", typed | {"kept": ["0"]})
    again = OutboxMessage.objects.latest("pk")
    assert again.pk != row.pk and [each.filename for each in again.attachment_rows.all()] == ["a.pdf"]


def test_an_undone_answer_is_an_answer_still(operator: Client, account: Account, settings: Settings) -> None:
    settings.OUTBOX_UNDO_SECONDS = 20
    parent = store(account, letter("Order 7"))
    typed = {"account": account.pk, "to": "a@example.com", "subject": "Re: Order 7", "body_text": "Soon"}
    operator.post(f"{COMPOSE}?reply_to={parent.pk}", typed)
    back = operator.post(reverse("outbox:undo", args=[OutboxMessage.objects.get().pk]))["Location"]
    operator.post(back, typed)
    undone, again = OutboxMessage.objects.order_by("pk")
    assert undone.status == "cancelled" and again.status == "pending"
    assert again.parent == parent and again.in_reply_to == parent.message_id


def test_after_its_time_nothing_is_undone(operator: Client, account: Account) -> None:
    row = queued(account, undo_seconds=20)
    OutboxMessage.objects.update(undo_until=timezone.now())
    assert "too late to undo" in posted(operator, "undo", row)
    assert OutboxMessage.objects.get().status == "pending"


def test_a_mail_that_a_worker_has_is_not_undone(account: Account) -> None:
    row = queued(account, undo_seconds=20)
    assert claims.claim_row(row.pk, "here/1", lease_seconds=60, now=soon(seconds=21))
    refused = api.undo(row.pk, user=None)
    assert refused.error and "the mail is sending" in refused.error.message


def test_without_an_undo_window_a_mail_is_due_at_once(operator: Client, account: Account) -> None:
    operator.post(COMPOSE, {"account": account.pk, "to": "a@example.com", "subject": "S", "body_text": "T"})
    row = OutboxMessage.objects.get()
    assert row.undo_until is None and row.next_attempt_at <= timezone.now()
    assert "too late to undo" in posted(operator, "undo", row)


def test_the_content_of_a_mail_one_may_not_send_is_not_taken_over(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    row = queued(account, attachments=[AttachmentInput("a.pdf", "application/pdf", content=b"%PDF-1")])
    client.force_login(make_user("viewer"))
    assert client.get(f"{COMPOSE}?again={row.pk}").status_code == 403
    client.force_login(make_user(""))
    assert client.get(f"{COMPOSE}?again={row.pk}").status_code == 404


# --- Drills -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["network", "provider"])
def test_staff_runs_a_drill_from_the_page_and_it_is_marked(
    client: Client, account: Account, make_user: Callable[..., User], mode: str
) -> None:
    row, user = queued(account), make_user("operator")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=user.pk))
    page = reverse("outbox:detail", args=[row.pk])
    assert "Run the drill now" not in client.get(page).content.decode()  # a page of every day
    assert "Run the drill now" in client.get(f"{page}?drill=1").content.decode()

    posted(client, "retry" if row.status == "failed" else "send_now", row, failure_mode=mode)
    deliver.deliver_account(account.pk)

    tried = DeliveryAttempt.objects.get()
    assert (tried.failure_mode, tried.requested_by) == (mode, user) and "drill" in tried.reply
    assert mode == "provider" or "Run the drill now" in client.get(page).content.decode()  # of a mail that is one
    page = client.get(reverse("outbox:list") + "?mark=drill").content.decode()
    assert "a drill" in page and "Hello" in page


def test_nobody_else_is_offered_a_drill_nor_may_ask_for_one(operator: Client, account: Account) -> None:
    row = queued(account)
    assert "Run the drill" not in operator.get(reverse("outbox:detail", args=[row.pk]) + "?drill=1").content.decode()
    assert "Only staff may ask for a drill" in posted(operator, "send_now", row, failure_mode="network")
    assert OutboxMessage.objects.get().failure_mode == ""


# --- What a waiting mail waits for ------------------------------------------------------------------------------
def test_a_mail_behind_a_refused_sign_in_says_what_it_waits_for(operator: Client, account: Account) -> None:
    row = queued(account)
    account.smtp.mark_needs_sign_in("535 5.7.8 no", timezone.now())
    page = operator.get(reverse("outbox:detail", args=[row.pk])).content.decode()
    assert "The SMTP server refuses the sign-in of ops@example.com" in page
    assert "which takes it within seconds" not in page
