"""The copy in Sent: made once after a mail went out, never twice, and never of weight for the mail itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AuditEntry, Folder, Message, RawMessage, StoreMiss, Transport
from mailbox.presets import keeps_sent_copy
from mailbox.storage import durable_files
from mailbox.sync import folder_sync
from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage, SendingSwitch, SentCopy
from outbox.sent_folder import copy as sent_folder_copy
from outbox.sent_folder import lookup as sent_folder_lookup
from outbox.sent_folder.copy import wait_after
from outbox.tasks import sent_folder as sent_folder_tasks
from tests.rows import NOWHERE, tasks_queued
from tests.servers.dovecot import Dovecot

pytestmark = [pytest.mark.wire, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def account(make_account: Callable[..., Account], dovecot: Dovecot, mail_user: str) -> Account:
    """It sends and keeps its copies on the same server, as at most providers."""
    dovecot.create_folder(mail_user, "Sent")
    return make_account(mail_user)


def sent(account: Account, **changes: object) -> OutboxMessage:
    response = api.queue(account.pk, "bob@example.test", "Hello", "A text.", **changes)  # type: ignore[arg-type]
    assert response.ok and response.data
    deliver.deliver_account(account.pk)
    row = OutboxMessage.objects.get(pk=response.data.outbox_id)
    assert row.status == "sent"
    return row


def copied(account: Account, after: timedelta = timedelta(0)) -> SentCopy:
    now = timezone.now() + after
    sent_folder_copy.make_copies(account.pk, lambda: now)
    return SentCopy.objects.get()


def test_what_went_out_lies_in_sent_as_read_and_at_its_time(account: Account, dovecot: Dovecot) -> None:
    row = sent(account)
    copy = copied(account)

    (raw,) = dovecot.messages(account.email, "Sent").values()
    (submitted,) = [mail.submitted for mail in dovecot.sink.mails()]
    assert raw == submitted or raw.endswith(submitted[submitted.index(b"Message-ID:") :])
    assert f"Message-ID: {row.provider_message_id}\r\n".encode() in raw
    assert dovecot.flags(account.email, "Sent") == {1: {"\\Seen"}}
    assert (copy.state, copy.folder, copy.tries) == ("done", "Sent", 1)


def test_only_the_senders_own_copy_tells_who_had_a_blind_one(account: Account, dovecot: Dovecot) -> None:
    sent(account, bcc="Clara <clara@example.test>")
    copied(account)
    (raw,) = dovecot.messages(account.email, "Sent").values()
    assert b"Bcc: Clara <clara@example.test>\r\n" in raw
    assert all(b"clara@example.test" not in mail.submitted.partition(b"\r\n\r\n")[0] for mail in dovecot.sink.mails())


def test_a_copy_whose_worker_died_after_it_was_stored_is_not_made_twice(account: Account, dovecot: Dovecot) -> None:
    sent(account)
    copied(account)
    # As a worker leaves it that was killed between the server's OK and its own note of it.
    SentCopy.objects.update(
        state="waiting", folder="", finished_at=None, claim_token="dead", lease_expires_at=timezone.now()
    )
    copy = copied(account, timedelta(minutes=10))
    assert (copy.state, copy.tries) == ("done", 2)
    assert len(dovecot.messages(account.email, "Sent")) == 1


def test_a_copy_that_another_worker_is_making_is_left_to_it(account: Account, dovecot: Dovecot) -> None:
    sent(account)
    SentCopy.objects.update(claim_token="alive", lease_expires_at=timezone.now() + timedelta(minutes=5))
    assert copied(account).state == "waiting"
    assert dovecot.messages(account.email, "Sent") == {}


def test_of_several_workers_at_one_instant_one_makes_it(account: Account, dovecot: Dovecot) -> None:
    sent(account)
    ready = threading.Barrier(3)

    def work() -> None:
        ready.wait()
        sent_folder_copy.make_copies(account.pk)
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(dovecot.messages(account.email, "Sent")) == 1


def test_without_a_sent_folder_it_fails_and_is_made_by_click_once_there_is_one(
    client: Client, make_account: Callable[..., Account], make_user: Callable[..., User], dovecot: Dovecot
) -> None:
    account = make_account()
    row = sent(account)
    assert copied(account).state == "failed"
    row.refresh_from_db()
    assert row.status == "sent"  # whatever becomes of the copy

    client.force_login(make_user("operator"))
    page = client.get(reverse("outbox:detail", args=[row.pk])).content.decode()
    assert "The copy in Sent failed: The account has no Sent folder." in page and "Try again" in page
    dovecot.create_folder(account.email, "Sent")
    client.post(reverse("outbox:copy_again", args=[row.pk]))
    assert "outbox.tasks.copy_to_sent" in tasks_queued()
    assert copied(account).state == "done"
    assert AuditEntry.objects.filter(verb="copy_again", target=f"outbox:{row.pk}").count() == 1
    page = client.post(reverse("outbox:copy_again", args=[row.pk]), follow=True).content.decode()
    assert "it is in Sent already" in page


def test_a_server_that_is_away_is_asked_again_and_the_mail_stays_sent(account: Account, dovecot: Dovecot) -> None:
    row = sent(account)
    Transport.objects.filter(pk=account.imap_id).update(port=1)
    copy = copied(account)
    row.refresh_from_db()
    assert (row.status, copy.state, copy.tries) == ("sent", "waiting", 0)
    assert copy.error and copy.next_try_at > timezone.now()

    Transport.objects.filter(pk=account.imap_id).update(port=dovecot.imap_port)
    assert account.pk not in sent_folder_copy.accounts_due(timezone.now())  # the server is left alone for a while
    assert sent_folder_copy.accounts_due(timezone.now() + timedelta(minutes=1)) == [account.pk]
    assert copied(account, timedelta(minutes=1)).state == "done"


def test_a_refused_sign_in_keeps_the_copy_until_the_credentials_are_new(account: Account, dovecot: Dovecot) -> None:
    sent(account)
    account.imap.password = "wrong"
    account.imap.save()
    assert copied(account).state == "waiting"
    account.imap.refresh_from_db()
    assert account.imap.needs_sign_in_since and sent_folder_copy.accounts_due(timezone.now()) == []


def test_tries_grow_apart_and_end() -> None:
    seconds = [wait.total_seconds() if (wait := wait_after(tries)) else None for tries in range(1, 12)]
    assert seconds == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, None, None]


@pytest.mark.parametrize(
    ("host", "choice", "wanted"),
    [
        ("smtp.gmail.com", "automatic", False),
        ("SMTP.Office365.com", "automatic", False),
        ("smtp.fastmail.com", "automatic", True),
        ("smtp.gmail.com", "always", True),
        ("smtp.fastmail.com", "never", False),
    ],
)
def test_a_copy_is_made_where_the_provider_makes_none_or_as_the_account_says(
    make_account: Callable[..., Account], host: str, choice: str, wanted: bool
) -> None:
    account = make_account("ops@example.com", **(NOWHERE | {"smtp_host": host, "sent_copy": choice}))
    api.queue(account.pk, "bob@example.test", "Hello", "A text.")
    assert SentCopy.objects.exists() is wanted
    assert keeps_sent_copy("smtp.gmail.com.") and not keeps_sent_copy("smtp.gmail.com.example.net")


def test_a_setting_changed_meanwhile_counts(account: Account, dovecot: Dovecot) -> None:
    sent(account)
    Account.objects.update(sent_copy="never")
    assert copied(account).state == "unwanted"
    assert dovecot.messages(account.email, "Sent") == {}


def test_what_never_went_out_is_not_copied(account: Account, dovecot: Dovecot) -> None:
    response = api.queue(account.pk, "bob@example.test", "Hello", "A text.")
    assert response.data and copied(account).state == "waiting"
    api.cancel(response.data.outbox_id, user=None)
    sent_folder_tasks.sweep_afterwards()
    assert SentCopy.objects.get().state == "unwanted"
    assert dovecot.messages(account.email, "Sent") == {}


def test_the_copy_is_never_that_of_an_attempt_whose_outcome_is_a_question(account: Account, dovecot: Dovecot) -> None:
    """bob was refused, ann's mail was marked as sent, and now bob's is the question: our copy must not answer it."""
    row, now = sent(account), timezone.now()
    first, second = row.attempts.get(), row.attempts.get()
    second.pk, second.number, second.claim_token, second.prx_attempt = None, 2, "second", "2" * 32
    second.outcome = first.outcome = "uncertain"
    first.save()
    second.save(force_insert=True)
    OutboxMessage.objects.update(status="failed", hold="uncertain", sent_at=None)

    copied(account)
    sent_folder_lookup.open_lookups(now)
    sent_folder_lookup.look(sent_folder_lookup.due(now)[0])

    (raw,) = dovecot.messages(account.email, "Sent").values()
    assert f"X-PRX-Attempt: {first.prx_attempt}".encode() in raw
    row.refresh_from_db()
    assert (row.status, row.hold) == ("failed", "uncertain")


def test_what_the_look_up_found_in_sent_gets_no_second_copy(account: Account, dovecot: Dovecot) -> None:
    row = sent(account)
    copied(account)  # as a provider makes it that keeps one by itself
    row.attempts.update(outcome="uncertain")
    SentCopy.objects.update(state="waiting", folder="", finished_at=None, tries=0, next_try_at=timezone.now())
    assert copied(account).state == "done"
    assert len(dovecot.messages(account.email, "Sent")) == 1


def test_after_a_restore_no_copy_is_made_before_a_person_goes_on_and_none_twice(
    account: Account, dovecot: Dovecot
) -> None:
    """The backup was taken between the mail and its copy."""
    sent(account)
    copied(account)
    SentCopy.objects.update(state="waiting", folder="", finished_at=None, tries=0)
    SendingSwitch.current()
    SendingSwitch.objects.update(paused_at=timezone.now())
    later = timedelta(hours=1)
    assert copied(account, later).state == "waiting" and sent_folder_copy.accounts_due(timezone.now() + later) == []

    SendingSwitch.objects.update(paused_at=None)

    assert copied(account, later).state == "done"
    assert len(dovecot.messages(account.email, "Sent")) == 1


def test_the_sweep_finds_the_copies_that_nobody_queued(account: Account) -> None:
    sent(account)
    assert sent_folder_tasks.sweep_afterwards()["copies"] == 1
    assert "outbox.tasks.copy_to_sent" in tasks_queued()


def test_many_copies_take_one_sign_in(account: Account, dovecot: Dovecot) -> None:
    for _ in range(3):
        sent(account)
    before = dovecot.log().count("Login: user")
    assert sent_folder_copy.make_copies(account.pk).made == 3
    assert dovecot.log().count("Login: user") - before <= 1
    assert len(dovecot.messages(account.email, "Sent")) == 3


def test_synced_the_copy_and_the_mail_one_sent_oneself_are_one_message(account: Account, dovecot: Dovecot) -> None:
    row = sent(account)
    copied(account)
    (raw,) = dovecot.messages(account.email, "Sent").values()
    dovecot.append(account.email, "INBOX", b"Received: from localhost by mx.example.test\r\n" + raw)
    Folder.objects.create(account=account, name="Sent", sync_enabled=True)

    for folder in ("INBOX", "Sent"):
        folder_sync.sync(account.pk, folder)

    message = Message.objects.get(account=account, message_id=row.provider_message_id)
    assert sorted(message.places.values_list("folder__name", flat=True)) == ["INBOX", "Sent"]


def test_a_copy_whose_file_is_out_of_reach_waits_for_it_and_loses_no_try(account: Account, dovecot: Dovecot) -> None:
    row = sent(account)
    file = Path(durable_files.raw_storage().path(RawMessage.objects.get(digest=row.mime_digest).segment))
    elsewhere = file.rename(file.with_name("elsewhere"))
    copy = copied(account)
    assert (copy.state, copy.tries) == ("waiting", 0)
    assert "cannot be read" in copy.error
    assert (
        StoreMiss.objects.get().file == RawMessage.objects.get(digest=row.mime_digest).segment
    )  # so it is an incident

    waits = []
    for minutes in (1, 3, 60):
        later = timezone.now() + timedelta(minutes=minutes)
        waits.append(round((copied(account, timedelta(minutes=minutes)).next_try_at - later).total_seconds() / 60))
    assert waits == [1, 3, 10]  # as long as it has waited; the incident lasts for fifteen minutes

    elsewhere.rename(file)
    assert copied(account, timedelta(minutes=71)).state == "done"
    assert len(dovecot.messages(account.email, "Sent")) == 1
