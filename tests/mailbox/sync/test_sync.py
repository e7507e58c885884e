"""Syncing folders of a real Dovecot: what is there afterwards is what the server has, and nothing else changed."""

import hashlib
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from mailbox.models import Account, Attachment, Counter, Folder, Message, MessagePlace
from mailbox.parsing import parse_job
from mailbox.search import index_terms
from mailbox.signals import messages_stored
from mailbox.storage import raw_store
from mailbox.sync import folder_sync
from tests.mailbox.sync.synced import WHEN, MakeAccount, account, fill, list_folders, mail, on_server, state_of, stored
from tests.servers.dovecot import Dovecot

__all__ = ["account"]


def test_a_folder_is_stored_byte_for_byte(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 5)
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.fetched, outcome.updated, outcome.more_waiting) == (True, 5, 0, False)
    assert stored(account) == on_server(dovecot, account)
    for digest in MessagePlace.objects.values_list("raw_digest", flat=True):
        assert hashlib.sha256(raw_store.open_raw(digest)).hexdigest() == digest
    state = state_of(account)
    assert (state.cursor, state.backfill_cursor, state.exists) == (5, 1, 5)


def test_every_column_is_filled_from_the_message_and_the_server(account: Account, dovecot: Dovecot) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Cc"] = "Ann <Ann@Example.com>", "bob@example.com", "cy@example.com"
    message["Subject"], message["Message-ID"], message["References"] = "Plan", "<p@x>", "<o@x>"
    message["Date"] = "Fri, 01 Mar 2024 10:00:00 +0000"
    message.set_content("See the file.")
    message.add_attachment(b"%PDF-1.4", maintype="application", subtype="pdf", filename="plan.pdf")
    dovecot.append(account.email, "INBOX", message.as_bytes(), flags=("\\Seen", "\\Flagged", "Work"), when=WHEN)
    folder_sync.sync(account.pk)
    row = Message.objects.get()
    assert (row.message_id, row.subject, row.sender_address) == ("<p@x>", "Plan", "ann@example.com")
    assert (row.recipients, row.cc, row.references_header) == ("bob@example.com", "cy@example.com", "<o@x>")
    assert row.body_text.strip() == "See the file."
    assert (row.seen, row.flagged, row.answered, row.has_attachments) == (True, True, False, True)
    assert (row.received_at, row.date) == (WHEN, datetime(2024, 3, 1, 10, tzinfo=UTC))
    attachment = Attachment.objects.get(message=row)
    assert (attachment.filename, attachment.size) == ("plan.pdf", 8)
    assert row.attachments[0]["digest"] == hashlib.sha256(b"%PDF-1.4").hexdigest()
    place = row.places.get()
    assert (place.uid, place.seen, place.keywords, place.received_at) == (1, True, ["Work"], WHEN)
    assert place.header_digest == hashlib.sha256(parse_job.header_of(raw_store.open_raw(place.raw_digest))).hexdigest()


def test_a_second_sync_fetches_only_what_came_since(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 3)
    folder_sync.sync(account.pk)
    assert folder_sync.sync(account.pk).fetched == 0
    fill(dovecot, account, 2, first=4)
    assert folder_sync.sync(account.pk).fetched == 2
    assert stored(account) == on_server(dovecot, account)


def test_a_new_folder_starts_with_the_newest_and_goes_down_without_a_gap(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 10)
    first = folder_sync.sync(account.pk, max_messages=4)
    assert first.more_waiting
    assert {uid for _, uid, _ in stored(account)} == {7, 8, 9, 10}
    assert (state_of(account).backfill_cursor, state_of(account).cursor) == (7, 10)
    second = folder_sync.sync(account.pk, max_messages=4)
    third = folder_sync.sync(account.pk, max_messages=4)
    assert (second.fetched, second.more_waiting, third.fetched, third.more_waiting) == (4, True, 2, False)
    assert stored(account) == on_server(dovecot, account)


def test_new_mail_comes_before_old_and_its_oldest_first(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 4)
    folder_sync.sync(account.pk, max_messages=2)
    fill(dovecot, account, 5, first=5)
    folder_sync.sync(account.pk, max_messages=3)
    assert {uid for _, uid, _ in stored(account)} == {3, 4, 5, 6, 7}
    assert (state_of(account).backfill_cursor, state_of(account).cursor) == (3, 7)
    folder_sync.sync(account.pk, max_messages=3)
    assert {uid for _, uid, _ in stored(account)} == {2, 3, 4, 5, 6, 7, 8, 9}
    folder_sync.sync(account.pk, max_messages=3)
    assert stored(account) == on_server(dovecot, account)


def test_exactly_as_many_as_allowed_leaves_nothing_waiting(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 3)
    assert not folder_sync.sync(account.pk, max_messages=3).more_waiting
    assert state_of(account).backfill_cursor == 1


def test_holes_where_mail_was_expunged_are_walked_over(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 8)
    dovecot.expunge(account.email, "INBOX", "2:4,8")
    folder_sync.sync(account.pk, max_messages=2)
    folder_sync.sync(account.pk, max_messages=2)
    assert stored(account) == on_server(dovecot, account)


def test_an_empty_folder_is_a_success(account: Account) -> None:
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.fetched, outcome.more_waiting) == (True, 0, False)


def test_a_given_cursor_starts_there_and_never_lowers_the_stored_one(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 5)
    folder_sync.sync(account.pk)
    again = folder_sync.sync(account.pk, cursor=2)
    assert (again.fetched, again.updated) == (3, 3)
    assert state_of(account).cursor == 5
    assert Message.objects.count() == 5


def test_a_cursor_above_the_stored_one_leaves_no_gap_behind(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 2)
    folder_sync.sync(account.pk)
    fill(dovecot, account, 4, first=3)
    assert folder_sync.sync(account.pk, cursor=4).fetched == 2
    assert state_of(account).cursor == 2
    folder_sync.sync(account.pk)
    assert stored(account) == on_server(dovecot, account)


def test_sync_changes_nothing_on_the_server(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 3)
    folder_sync.sync(account.pk)
    assert all("\\Seen" not in flags for flags in dovecot.flags(account.email).values())


def test_one_mail_in_two_folders_is_one_message_in_two_places(account: Account, dovecot: Dovecot) -> None:
    dovecot.create_folder(account.email, "日本語 & more")
    dovecot.append(account.email, "INBOX", mail(), flags=("\\Seen",), when=WHEN)
    dovecot.append(account.email, "日本語 & more", mail(), flags=("\\Flagged",), when=WHEN - timedelta(days=1))
    folder_sync.sync(account.pk)
    second = folder_sync.sync(account.pk, "日本語 & more")
    assert (second.fetched, second.updated) == (1, 1)
    message = Message.objects.get()
    assert message.places.count() == 2
    assert (message.seen, message.flagged, message.received_at) == (False, True, WHEN - timedelta(days=1))
    assert stored(account) == on_server(dovecot, account, "INBOX", "日本語 & more")


def test_a_forged_message_id_hides_nothing(account: Account, dovecot: Dovecot) -> None:
    dovecot.append(account.email, "INBOX", mail(1))
    dovecot.append(account.email, "INBOX", mail(1, body="Send money."))
    folder_sync.sync(account.pk)
    dovecot.append(account.email, "INBOX", mail(1, Subject="Other"))
    folder_sync.sync(account.pk)
    rows = Message.objects.order_by("variant").values_list("variant", "subject")
    assert list(rows) == [(0, "Mail 1"), (1, "Mail 1"), (2, "Other")]


def test_the_lists_copy_of_a_mail_is_the_same_mail(account: Account, dovecot: Dovecot) -> None:
    dovecot.append(account.email, "INBOX", mail(1))
    copy = mail(1, Subject="[club] Mail 1", List_Id="<club.example.com>", body="Text 1.\n\n-- \nclub mailing list")
    dovecot.append(account.email, "INBOX", copy)
    folder_sync.sync(account.pk)
    assert Message.objects.get().places.count() == 2


def test_flags_follow_the_server(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 2)
    folder_sync.sync(account.pk)
    dovecot.store(account.email, "INBOX", "1", "\\Seen \\Answered")
    assert folder_sync.sync(account.pk).updated == 1
    message = Message.objects.get(subject="Mail 1")
    assert (message.seen, message.answered) == (True, True)
    assert not Message.objects.get(subject="Mail 2").seen


def test_a_changed_uidvalidity_reads_the_folder_again_and_loses_nothing(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 4)
    folder_sync.sync(account.pk)
    before = state_of(account).uidvalidity
    pks = set(Message.objects.values_list("pk", flat=True))
    dovecot.doveadm("mailbox", "delete", "-u", account.email, "-s", "INBOX")
    fill(dovecot, account, 3, first=2)
    outcome = folder_sync.sync(account.pk, max_messages=2)
    assert "UIDVALIDITY" in outcome.note
    assert Message.objects.visible().count() == 4
    folder_sync.sync(account.pk, max_messages=2)
    assert state_of(account).uidvalidity != before
    assert stored(account) == on_server(dovecot, account)
    assert set(Message.objects.values_list("pk", flat=True)) == pks
    assert set(Message.objects.visible().values_list("subject", flat=True)) == {"Mail 2", "Mail 3", "Mail 4"}


def test_folders_are_found_chosen_and_missed(account: Account, dovecot: Dovecot) -> None:
    dovecot.create_folder(account.email, "Entwürfe")
    found = {folder.name: folder.sync_enabled for folder in list_folders(account)}
    assert found["INBOX"] is True
    assert found["Entwürfe"] is False
    dovecot.doveadm("mailbox", "delete", "-u", account.email, "Entwürfe")
    assert "Entwürfe" not in {folder.name for folder in list_folders(account)}
    assert Folder.objects.get(name="Entwürfe").gone_at is not None
    dovecot.create_folder(account.email, "Entwürfe")
    folder_sync.discover_folders(account.pk)
    assert Folder.objects.get(name="Entwürfe").gone_at is None


@pytest.mark.django_db(transaction=True)
def test_search_words_are_made_by_the_parsers_and_not_in_the_write_transaction(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    fill(dovecot, account, 2)

    def refused(mail: index_terms.Indexable, **facts: Any) -> index_terms.IndexedWords:
        raise AssertionError("made in the worker")

    monkeypatch.setattr(index_terms, "words_of", refused)
    assert folder_sync.sync(account.pk).fetched == 2


@pytest.mark.django_db(transaction=True)
def test_listeners_are_told_after_the_commit(make_account: MakeAccount, dovecot: Dovecot) -> None:
    account = make_account()
    fill(dovecot, account, 2)
    told: list[tuple[int, list[int]]] = []

    def listen(account_id: int, pks: list[int], **_: object) -> None:
        told.append((account_id, sorted(pks)))

    messages_stored.connect(listen)
    try:
        folder_sync.sync(account.pk)
    finally:
        messages_stored.disconnect(listen)
    assert told == [(account.pk, sorted(Message.objects.values_list("pk", flat=True)))]


def test_runs_are_counted_by_the_hour(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 2)
    folder_sync.sync(account.pk, now=WHEN)
    counted = dict(Counter.objects.filter(account=account, hour=WHEN).values_list("name", "value"))
    assert counted == {"sync_attempts": 1, "sync_successes": 1, "messages_received": 2}
