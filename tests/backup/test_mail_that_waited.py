"""A restored database cannot know what went out after its backup: nothing that waited then is sent by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, Message
from mailbox.sync import folder_sync
from outbox import api, restore_guard
from outbox.actions import transitions
from outbox.delivery import deliver
from outbox.models import DeliveryAttempt, Operation, OutboxMessage, SendingSwitch, SentCopy
from outbox.sent_folder import copy as sent_folder_copy
from outbox.sent_folder import lookup as sent_folder_lookup
from outbox.tasks import delivery as delivery_tasks
from tests.backup.made import made_in
from tests.rows import letter, outbox_row
from tests.servers.dovecot import Dovecot

pytestmark = [pytest.mark.wire, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def account(make_account: Callable[..., Account], dovecot: Dovecot, mail_user: str, data: Path) -> Account:
    dovecot.create_folder(mail_user, "Sent")
    return make_account(mail_user)


@pytest.fixture
def data(settings: Any, tmp_path: Path) -> Iterator[Path]:
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    yield settings.DATA_DIR


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def queued(account: Account, subject: str = "Hello", to: str = "bob@example.test", **more: Any) -> OutboxMessage:
    response = api.queue(account.pk, to, subject, "A text.", **more)
    assert response.ok and response.data
    return OutboxMessage.objects.get(pk=response.data.outbox_id)


def restore(backups: Path) -> None:
    """The site is lost: its database is empty."""
    Account.objects.all().delete()
    connection.close()
    call_command("restore", backups)


def resume() -> None:
    SendingSwitch.objects.update(paused_at=None, paused_by=None, reason="")


def send(account: Account) -> int:
    return deliver.deliver_account(account.pk).sent


def look() -> None:
    now = timezone.now()
    sent_folder_lookup.open_lookups(now)
    for pk in sent_folder_lookup.due(now):
        sent_folder_lookup.look(pk)


def states() -> dict[str, tuple[str, str]]:
    return {row.subject: (row.status, row.hold) for row in OutboxMessage.objects.all()}


def subjects_sent(dovecot: Dovecot) -> list[str]:
    lines = [line for mail in dovecot.sink.mails() for line in mail.submitted.splitlines()]
    return sorted(line.removeprefix(b"Subject: ").decode() for line in lines if line.startswith(b"Subject: "))


ASKED = ("failed", "uncertain")


def test_what_waited_is_sent_by_nobody_but_a_person_and_what_is_queued_since_goes_out(
    account: Account, dovecot: Dovecot, backups: Path
) -> None:
    waiting = queued(account, "Queued")
    outbox_row(account, "Retrying", letter("Retrying"), status="failed", retries=2)
    outbox_row(
        account, "Claimed", letter("Claimed"), status="sending", claim_token="t", lease_expires_at=timezone.now()
    )
    outbox_row(account, "Signed out", letter("Signed out"), status="failed", hold="sign_in")
    outbox_row(account, "Refused", letter("Refused"), status="failed", hold="permanent")
    made_in(backups)
    assert send(account) == 2
    lost = queued(account, "Written after the backup")
    assert send(account) == 1
    restore(backups)

    resume()
    assert delivery_tasks.sweep()["queued"] == 0 and send(account) == 0
    waits = dict.fromkeys(("Queued", "Retrying", "Claimed", "Signed out"), ASKED)
    assert states() == waits | {"Refused": ("failed", "permanent")}

    fresh = queued(account, "New")
    assert fresh.pk > lost.pk, "its Message-ID would be that of another mail"
    assert send(account) == 1 and states()["New"] == ("sent", "")
    transitions.ask_again(waiting.pk, user=None, now=timezone.now(), seen=transitions.AS_IT_IS)
    assert send(account) == 1 and states()["Queued"] == ("sent", "")
    everything = ["Queued", "Queued", "Retrying", "Written after the backup", "New"]
    assert subjects_sent(dovecot) == sorted(everything)


def test_what_lies_in_sent_since_the_backup_went_out_and_has_one_copy(
    account: Account, dovecot: Dovecot, backups: Path
) -> None:
    row = queued(account, "Went out")
    queued(account, "Did not")
    made_in(backups)
    OutboxMessage.objects.filter(subject="Did not").delete()
    assert send(account) == 1
    sent_folder_copy.make_copies(account.pk)
    mark = row.attempts.get().prx_attempt
    restore(backups)

    look()

    assert states() == {"Went out": ("sent", ""), "Did not": ASKED}
    (found,) = DeliveryAttempt.objects.filter(outbox=row.pk)
    assert (found.prx_attempt, found.sent_lookup.found_in) == (mark, "Sent")
    resume()
    sent_folder_copy.make_copies(account.pk)
    assert SentCopy.objects.get(outbox=row.pk).state == "done"
    assert len(dovecot.messages(account.email, "Sent")) == 1


def test_a_mail_that_went_out_at_a_later_attempt_is_found_by_it(
    account: Account, dovecot: Dovecot, backups: Path
) -> None:
    row = queued(account)
    made_in(backups)
    OutboxMessage.objects.update(retries=4)  # as after four refusals
    assert send(account) == 1
    sent_folder_copy.make_copies(account.pk)
    restore(backups)
    look()
    assert OutboxMessage.objects.get().provider_message_id == f"<outbox-{row.pk}-4@prx-email.local>"
    assert states() == {"Hello": ("sent", "")}


def test_a_mail_of_another_outbox_with_the_same_message_id_proves_nothing(
    account: Account, dovecot: Dovecot, backups: Path
) -> None:
    row = queued(account)
    made_in(backups)
    other = letter(Date="Mon, 02 Nov 2026 10:00:00 +0000", Message_ID=f"<outbox-{row.pk}-0@prx-email.local>")
    dovecot.append(account.email, "Sent", b"X-PRX-Attempt: 77\r\n" + other)
    restore(backups)
    look()
    assert states() == {"Hello": ASKED}


def test_a_copy_in_sent_does_not_say_that_each_of_several_recipients_got_it(
    account: Account, dovecot: Dovecot, backups: Path
) -> None:
    queued(account, to="bob@example.test, clara@example.test")
    made_in(backups)
    assert send(account) == 1
    sent_folder_copy.make_copies(account.pk)
    restore(backups)
    for _ in range(2):
        look()
        assert states() == {"Hello": ASKED}
    (tried,) = DeliveryAttempt.objects.all()
    assert "each of its recipients" in tried.sent_lookup.last_words
    transitions.mark_as_sent(tried.outbox_id, user=None, now=timezone.now(), seen=transitions.AS_IT_IS)
    resume()
    sent_folder_copy.make_copies(account.pk)
    assert len(dovecot.messages(account.email, "Sent")) == 1


def test_a_recipient_who_was_put_off_counts_as_having_what_went_out(
    account: Account, dovecot: Dovecot, backups: Path
) -> None:
    row = queued(account)
    row.recipients.update(status="refused", reply_code=451, reply="451 4.7.1 Later")
    made_in(backups)
    assert send(account) == 1
    sent_folder_copy.make_copies(account.pk)
    restore(backups)
    look()
    resume()
    assert send(account) == 0 and states() == {"Hello": ("sent", "")}
    assert len(dovecot.sink.mails()) == 1


def test_a_copy_that_was_made_after_the_backup_is_not_made_again(
    account: Account, dovecot: Dovecot, backups: Path
) -> None:
    queued(account)
    assert send(account) == 1
    made_in(backups)
    sent_folder_copy.make_copies(account.pk)
    restore(backups)
    resume()
    sent_folder_copy.make_copies(account.pk)
    assert SentCopy.objects.get().state == "done"
    assert len(dovecot.messages(account.email, "Sent")) == 1


def test_mail_that_came_after_the_backup_is_fetched_again_and_once(
    account: Account, dovecot: Dovecot, backups: Path
) -> None:
    folder = account.folders.create(name="INBOX", sync_enabled=True)
    dovecot.append(account.email, "INBOX", letter("Before"))
    folder_sync.sync(account.pk, "INBOX")
    made_in(backups)
    dovecot.append(account.email, "INBOX", letter("After"))
    folder_sync.sync(account.pk, "INBOX")
    assert Message.objects.count() == 2
    restore(backups)
    assert Message.objects.count() == 1
    for _ in range(2):
        folder_sync.sync(account.pk, "INBOX")
    assert sorted(Message.objects.values_list("subject", flat=True)) == ["After", "Before"]
    assert folder.pk == account.folders.get().pk


def test_a_mail_for_later_keeps_its_time_and_goes_out_then_if_a_person_says_so(
    account: Account, dovecot: Dovecot, backups: Path
) -> None:
    at = timezone.now() + timedelta(hours=2)
    row = queued(account, send_at=at)
    made_in(backups)
    restore(backups)
    resume()
    assert states() == {"Hello": ASKED}
    transitions.ask_again(row.pk, user=None, now=timezone.now(), seen=transitions.AS_IT_IS)
    row.refresh_from_db()
    assert (row.status, row.hold, row.next_attempt_at, row.send_at) == ("pending", "", at, at)
    assert send(account) == 0
    assert deliver.deliver_account(account.pk, clock=lambda: at + timedelta(seconds=1)).sent == 1


def test_a_bulk_action_that_had_not_ended_is_not_gone_on_with(account: Account, backups: Path) -> None:
    row = outbox_row(account, "Asked before", letter(), status="failed", hold="uncertain")
    person = User.objects.create_superuser("root")
    Operation.objects.create(verb="send_again", user=person, upto_pk=row.pk, total=1, expected=1)
    made_in(backups)
    restore(backups)
    assert not Operation.objects.unfinished().exists()


def test_a_person_sees_why_it_is_asked_and_what_was_found(
    account: Account, dovecot: Dovecot, backups: Path, client: Client
) -> None:
    row = queued(account)
    made_in(backups)
    restore(backups)
    look()
    client.force_login(User.objects.create_superuser("root"))
    shown = {
        "dashboard": "may have gone out since: 1.",
        "outbox:list": "It is not in “Sent”.",
        "outbox:detail": "It waited when the backup was made",
    }
    for name, words in shown.items():
        page = client.get(reverse(name, args=[row.pk] if "detail" in name else [])).content.decode()
        assert words in page, name


@pytest.mark.parametrize("is_known", [True, False])
def test_the_workers_that_start_after_a_restore_ask_about_nothing_that_was_queued_since(
    account: Account, backups: Path, is_known: bool
) -> None:
    if is_known:
        restore_guard.check(timezone.now())
    queued(account, "Waited")
    made_in(backups)
    restore(backups)
    queued(account, "New")
    assert restore_guard.check(timezone.now()) == ""
    assert states() == {"Waited": ASKED, "New": ("pending", "")}
