"""Reports that arrive in the mailbox stand at the mail and recipient they are about, and change nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from mailbox.models import Account, AuditEntry, Message
from mailbox.signals import messages_stored
from mailbox.sync import folder_sync
from outbox import restored_mail
from outbox.bounces import matching as bounces_matching
from outbox.models import DeliveryAttempt, DeliveryReport, OutboxMessage, ReportCursor
from outbox.tasks import sent_folder as sent_folder_tasks
from tests.outbox.bounces.test_dsn_report import POSTFIX, QMAIL
from tests.rows import NOWHERE, attempt, letter, outbox_row, store
from tests.servers.dovecot import Dovecot

pytestmark = [pytest.mark.wire, pytest.mark.django_db(transaction=True)]
LATER = timedelta(hours=1)


@pytest.fixture
def sent(account: Account) -> DeliveryAttempt:
    return sent_from(account)


def sent_from(account: Account, prx_attempt: str = "5d1e") -> DeliveryAttempt:
    row = outbox_row(account, status="sent", sent_at=timezone.now())
    row.recipients.create(kind="to", address="gone@example.net", status="accepted")
    return attempt(row, outcome="accepted", prx_attempt=prx_attempt, data_at=timezone.now())


def about(sent: DeliveryAttempt, raw: bytes = POSTFIX) -> bytes:
    """The report, about this attempt."""
    return raw.replace(b"<outbox-7-0@example.com>", sent.message_id.encode())


def arrived(account: Account, raw: bytes) -> Message:
    message = store(account, raw)
    bounces_matching.read_message(message.pk)
    return message


def test_a_bounce_stands_at_its_recipient_and_the_mail_stays_sent(account: Account, sent: DeliveryAttempt) -> None:
    message = arrived(account, about(sent))

    failed, delayed = DeliveryReport.objects.all()
    assert failed.recipient and failed.recipient.address == "gone@example.net"
    assert (failed.outbox_id, failed.message_id, failed.action) == (sent.outbox_id, message.pk, "failed")
    assert failed.is_proven and failed.status_code == "5.1.1" and "User unknown" in failed.words
    assert (delayed.action, delayed.recipient, delayed.address) == ("delayed", None, "slow@example.net")
    assert OutboxMessage.objects.get().status == "sent"


def test_a_report_that_comes_twice_or_is_read_twice_stands_once(account: Account, sent: DeliveryAttempt) -> None:
    message = arrived(account, about(sent))
    assert bounces_matching.read_message(message.pk) == 0
    bounces_matching.catch_up(timezone.now())
    assert DeliveryReport.objects.count() == 2


def test_a_mark_that_no_attempt_has_is_a_forgery_whatever_else_is_right(
    account: Account, sent: DeliveryAttempt
) -> None:
    arrived(account, about(sent).replace(b"5d1e", b"5d1f"))
    assert not DeliveryReport.objects.exists()


def test_a_report_about_what_a_restored_database_forgot_is_shown_as_unproven(
    account: Account, sent: DeliveryAttempt
) -> None:
    """Its mark is that of an attempt made after the backup, and the retries in its Message-ID too."""
    OutboxMessage.objects.update(status="pending", sent_at=None)
    restored_mail.ask(timezone.now())
    arrived(account, POSTFIX.replace(b"<outbox-7-0@", b"<outbox-%d-3@" % sent.outbox_id).replace(b"5d1e", b"5d1f"))
    assert set(DeliveryReport.objects.values_list("outbox", "is_proven")) == {(sent.outbox_id, False)}
    assert OutboxMessage.objects.get().hold == "uncertain"


def test_a_report_without_the_mark_informs_and_says_that_anybody_could_have_written_it(
    client: Client, account: Account, sent: DeliveryAttempt, make_user: Callable[..., User]
) -> None:
    arrived(account, about(sent).replace(b"X-PRX-Attempt: 5d1e\r\n", b""))
    assert not DeliveryReport.objects.filter(is_proven=True).exists() and DeliveryReport.objects.count() == 2
    assert OutboxMessage.objects.get().status == "sent"
    client.force_login(make_user("viewer"))
    page = client.get(reverse("outbox:detail", args=[sent.outbox_id])).content.decode()
    assert "anybody could have written it" in page


def test_a_mail_whose_message_id_a_server_wrote_anew_is_known_by_its_mark(
    account: Account, sent: DeliveryAttempt
) -> None:
    arrived(account, POSTFIX.replace(b"<outbox-7-0@example.com>", b"<another@server.example>"))
    assert DeliveryReport.objects.filter(outbox=sent.outbox_id, is_proven=True).count() == 2


def test_a_report_in_another_accounts_mailbox_says_nothing(
    make_account: Callable[..., Account], sent: DeliveryAttempt
) -> None:
    arrived(make_account("other@example.com", **NOWHERE), about(sent))
    assert not DeliveryReport.objects.exists()


def test_what_was_never_handed_over_cannot_bounce(account: Account, sent: DeliveryAttempt) -> None:
    DeliveryAttempt.objects.update(data_at=None)
    arrived(account, about(sent))
    assert not DeliveryReport.objects.exists()


def test_a_report_on_an_uncertain_mail_does_not_decide_it(account: Account, sent: DeliveryAttempt) -> None:
    OutboxMessage.objects.update(status="failed", hold="uncertain")
    arrived(account, about(sent))
    row = OutboxMessage.objects.get()
    assert (row.status, row.hold) == ("failed", "uncertain") and row.reports.exists()


def test_a_qmail_bounce_is_tied_too(account: Account, sent: DeliveryAttempt) -> None:
    message = arrived(account, about(sent, QMAIL))
    assert bounces_matching.candidates([message.pk]) == [message.pk]
    assert DeliveryReport.objects.get().recipient


def test_only_what_may_be_a_report_is_queued(account: Account, sent: DeliveryAttempt) -> None:
    plain, report = store(account, letter()), store(account, about(sent))
    messages_stored.send(sender=Message, account_id=account.pk, pks=[plain.pk])
    assert not OrmQ.objects.exists()
    messages_stored.send(sender=Message, account_id=account.pk, pks=[plain.pk, report.pk])
    (task,) = OrmQ.objects.all()
    assert task.func() == "outbox.tasks.read_reports" and tuple(task.task["args"]) == (report.pk,)


def test_a_bounce_that_a_real_sync_brings_is_told(make_account: Callable[..., Account], dovecot: Dovecot) -> None:
    account = make_account()
    sent = sent_from(account)
    dovecot.append(account.email, "INBOX", about(sent))
    folder_sync.sync(account.pk, "INBOX")
    (task,) = [task for task in OrmQ.objects.all() if task.func() == "outbox.tasks.read_reports"]
    assert sent_folder_tasks.read_reports(*task.task["args"]) == 2
    assert DeliveryReport.objects.filter(is_proven=True).count() == 2


def test_the_sweep_reads_what_a_killed_worker_left_and_goes_on_from_there(
    account: Account, sent: DeliveryAttempt
) -> None:
    report = store(account, about(sent))  # the task was queued, and its worker killed
    last = store(account, letter())

    assert sent_folder_tasks.sweep_afterwards()["reports"] == 2

    assert ReportCursor.current().message_id == 0  # of so young a row, an older key may still be committed
    assert bounces_matching.catch_up(timezone.now() + LATER) == 0
    assert ReportCursor.current().message_id == last.pk > report.pk


def test_the_cursor_never_goes_back_and_passes_many(account: Account, sent: DeliveryAttempt) -> None:
    bounces_matching.AT_ONCE, before = 2, bounces_matching.AT_ONCE
    try:
        for _ in range(5):
            store(account, letter())
        last = store(account, about(sent))
        assert bounces_matching.catch_up(timezone.now() + LATER) == 2
    finally:
        bounces_matching.AT_ONCE = before
    assert ReportCursor.current().message_id == last.pk


def test_the_lists_mark_and_filter_what_bounced(
    client: Client, account: Account, sent: DeliveryAttempt, make_user: Callable[..., User]
) -> None:
    outbox_row(account, "Arrived", status="sent")
    arrived(account, about(sent))
    client.force_login(make_user("viewer"))
    page = client.get(reverse("outbox:list") + "?mark=bounced").content.decode()
    assert "Bounced" in page and "Invoice" in page and "Arrived" not in page
    assert client.get(reverse("outbox:list") + "?mark=nonsense").status_code == 400


def test_the_page_says_what_happened_to_whom_and_leads_to_the_report_which_leads_back(
    client: Client, account: Account, sent: DeliveryAttempt, make_user: Callable[..., User]
) -> None:
    message = arrived(account, about(sent))
    client.force_login(make_user("viewer"))
    page = client.get(reverse("outbox:detail", args=[sent.outbox_id])).content.decode()
    assert "There is no such mailbox." in page and "User unknown" in page
    assert reverse("mailbox:message", args=[message.pk]) in page
    assert "I have seen it" not in page  # a viewer changes nothing
    report = client.get(reverse("mailbox:message", args=[message.pk])).content.decode()
    assert f'href="{reverse("outbox:detail", args=[sent.outbox_id])}"' in report


def test_a_bounce_needs_a_person_until_somebody_has_seen_it(
    client: Client, account: Account, sent: DeliveryAttempt, make_user: Callable[..., User]
) -> None:
    arrived(account, about(sent))
    client.force_login(make_user("operator"))
    assert "1 mail bounced" in client.get(reverse("dashboard")).content.decode()

    page = client.get(reverse("outbox:detail", args=[sent.outbox_id])).content.decode()
    shown = re.search('name="last_report" value="([0-9]+)"', page)
    assert shown
    client.post(reverse("outbox:acknowledge_bounce", args=[sent.outbox_id]), {"last_report": shown[1]})

    assert "1 mail bounced" not in client.get(reverse("dashboard")).content.decode()
    assert AuditEntry.objects.filter(verb="acknowledge_bounce").count() == 1
    page = client.get(reverse("outbox:detail", args=[sent.outbox_id])).content.decode()
    assert "Seen by" in page and "I have seen it" not in page


def test_a_bounce_that_came_after_the_page_was_shown_is_not_acknowledged_by_its_button(
    client: Client, account: Account, sent: DeliveryAttempt, make_user: Callable[..., User]
) -> None:
    arrived(account, about(sent))
    seen = DeliveryReport.objects.unacknowledged().latest("pk")
    later = DeliveryReport.objects.create(
        outbox=seen.outbox, address="other@example.com", action="failed", reported_at=seen.reported_at
    )
    client.force_login(make_user("operator"))
    url = reverse("outbox:acknowledge_bounce", args=[sent.outbox_id])
    for answer in ({}, {"last_report": "x"}, {"last_report": str(seen.pk)}):
        said = client.post(url, answer, follow=True).content.decode()
        assert "Another report came since your page was loaded" in said
    seen.refresh_from_db()
    assert seen.acknowledged_at is not None
    assert list(DeliveryReport.objects.unacknowledged()) == [later]


def test_only_those_who_see_the_account_hear_of_its_bounces(
    client: Client, account: Account, sent: DeliveryAttempt, make_user: Callable[..., User]
) -> None:
    arrived(account, about(sent))
    client.force_login(make_user(""))
    assert "bounced" not in client.get(reverse("dashboard")).content.decode()
