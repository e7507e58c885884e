"""Syncing folders of a real Dovecot: what is there afterwards is what the server has, and nothing else changed."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from mailbox import index_words, mime, rawstore, reading, store, sync
from mailbox.mime import ParsedMessage
from mailbox.models import (
    Account,
    Attachment,
    Counter,
    Folder,
    Lease,
    Message,
    MessagePlace,
    Quarantine,
    RawMessage,
    SyncState,
)
from mailbox.signals import messages_stored
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from tests.servers.dovecot import Dovecot

MakeAccount = Callable[..., Account]
WHEN = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


def mail(number: int = 1, **headers: str) -> bytes:
    """A small mail; keyword arguments set headers, with _ for -, and `body`."""
    message = EmailMessage()
    body = headers.pop("body", f"Text {number}.")
    fields = {
        "From": "Ann <ann@example.com>",
        "To": "bob@example.com",
        "Subject": f"Mail {number}",
        "Date": "Fri, 01 Mar 2024 12:00:00 +0000",
        "Message-ID": f"<{number}@example.com>",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in fields.items():
        message[name] = value
    message.set_content(body)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def on_server(dovecot: Dovecot, account: Account, *folders: str) -> set[tuple[str, int, str]]:
    return {
        (folder, uid, hashlib.sha256(raw).hexdigest())
        for folder in folders or ("INBOX",)
        for uid, raw in dovecot.messages(account.email, folder).items()
    }


def stored(account: Account) -> set[tuple[str, int, str]]:
    rows = MessagePlace.objects.present().filter(folder__account=account)
    return set(rows.values_list("folder__name", "uid", "raw_digest"))


def fill(dovecot: Dovecot, account: Account, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        dovecot.append(account.email, "INBOX", mail(number), when=WHEN + timedelta(minutes=number))


def state_of(account: Account, folder: str = "INBOX") -> SyncState:
    return SyncState.objects.get(account=account, folder__name=folder)


@pytest.fixture
def account(make_account: MakeAccount) -> Account:
    return make_account()


def test_a_folder_is_stored_byte_for_byte(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 5)
    outcome = sync.sync(account.pk)
    assert (outcome.ok, outcome.fetched, outcome.updated, outcome.more_waiting) == (True, 5, 0, False)
    assert stored(account) == on_server(dovecot, account)
    for digest in MessagePlace.objects.values_list("raw_digest", flat=True):
        assert hashlib.sha256(rawstore.open_raw(digest)).hexdigest() == digest
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
    sync.sync(account.pk)
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
    assert place.header_digest == hashlib.sha256(reading.header_of(rawstore.open_raw(place.raw_digest))).hexdigest()


def test_a_second_sync_fetches_only_what_came_since(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 3)
    sync.sync(account.pk)
    assert sync.sync(account.pk).fetched == 0
    fill(dovecot, account, 2, first=4)
    assert sync.sync(account.pk).fetched == 2
    assert stored(account) == on_server(dovecot, account)


def test_a_new_folder_starts_with_the_newest_and_goes_down_without_a_gap(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 10)
    first = sync.sync(account.pk, max_messages=4)
    assert first.more_waiting
    assert {uid for _, uid, _ in stored(account)} == {7, 8, 9, 10}
    assert (state_of(account).backfill_cursor, state_of(account).cursor) == (7, 10)
    second = sync.sync(account.pk, max_messages=4)
    third = sync.sync(account.pk, max_messages=4)
    assert (second.fetched, second.more_waiting, third.fetched, third.more_waiting) == (4, True, 2, False)
    assert stored(account) == on_server(dovecot, account)


def test_new_mail_comes_before_old_and_its_oldest_first(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 4)
    sync.sync(account.pk, max_messages=2)
    fill(dovecot, account, 5, first=5)
    sync.sync(account.pk, max_messages=3)
    assert {uid for _, uid, _ in stored(account)} == {3, 4, 5, 6, 7}
    assert (state_of(account).backfill_cursor, state_of(account).cursor) == (3, 7)
    sync.sync(account.pk, max_messages=3)
    assert {uid for _, uid, _ in stored(account)} == {2, 3, 4, 5, 6, 7, 8, 9}
    sync.sync(account.pk, max_messages=3)
    assert stored(account) == on_server(dovecot, account)


def test_exactly_as_many_as_allowed_leaves_nothing_waiting(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 3)
    assert not sync.sync(account.pk, max_messages=3).more_waiting
    assert state_of(account).backfill_cursor == 1


def test_holes_where_mail_was_expunged_are_walked_over(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 8)
    dovecot.expunge(account.email, "INBOX", "2:4,8")
    sync.sync(account.pk, max_messages=2)
    sync.sync(account.pk, max_messages=2)
    assert stored(account) == on_server(dovecot, account)


def test_an_empty_folder_is_a_success(account: Account) -> None:
    outcome = sync.sync(account.pk)
    assert (outcome.ok, outcome.fetched, outcome.more_waiting) == (True, 0, False)


def test_a_given_cursor_starts_there_and_never_lowers_the_stored_one(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 5)
    sync.sync(account.pk)
    again = sync.sync(account.pk, cursor=2)
    assert (again.fetched, again.updated) == (3, 3)
    assert state_of(account).cursor == 5
    assert Message.objects.count() == 5


def test_a_cursor_above_the_stored_one_leaves_no_gap_behind(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 2)
    sync.sync(account.pk)
    fill(dovecot, account, 4, first=3)
    assert sync.sync(account.pk, cursor=4).fetched == 2
    assert state_of(account).cursor == 2
    sync.sync(account.pk)
    assert stored(account) == on_server(dovecot, account)


def test_sync_changes_nothing_on_the_server(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 3)
    sync.sync(account.pk)
    assert all("\\Seen" not in flags for flags in dovecot.flags(account.email).values())


def test_one_mail_in_two_folders_is_one_message_in_two_places(account: Account, dovecot: Dovecot) -> None:
    dovecot.create_folder(account.email, "日本語 & more")
    dovecot.append(account.email, "INBOX", mail(), flags=("\\Seen",), when=WHEN)
    dovecot.append(account.email, "日本語 & more", mail(), flags=("\\Flagged",), when=WHEN - timedelta(days=1))
    sync.sync(account.pk)
    second = sync.sync(account.pk, "日本語 & more")
    assert (second.fetched, second.updated) == (1, 1)
    message = Message.objects.get()
    assert message.places.count() == 2
    assert (message.seen, message.flagged, message.received_at) == (False, True, WHEN - timedelta(days=1))
    assert stored(account) == on_server(dovecot, account, "INBOX", "日本語 & more")


def test_a_forged_message_id_hides_nothing(account: Account, dovecot: Dovecot) -> None:
    dovecot.append(account.email, "INBOX", mail(1))
    dovecot.append(account.email, "INBOX", mail(1, body="Send money."))
    sync.sync(account.pk)
    dovecot.append(account.email, "INBOX", mail(1, Subject="Other"))
    sync.sync(account.pk)
    rows = Message.objects.order_by("variant").values_list("variant", "subject")
    assert list(rows) == [(0, "Mail 1"), (1, "Mail 1"), (2, "Other")]


def test_the_lists_copy_of_a_mail_is_the_same_mail(account: Account, dovecot: Dovecot) -> None:
    dovecot.append(account.email, "INBOX", mail(1))
    copy = mail(1, Subject="[club] Mail 1", List_Id="<club.example.com>", body="Text 1.\n\n-- \nclub mailing list")
    dovecot.append(account.email, "INBOX", copy)
    sync.sync(account.pk)
    assert Message.objects.get().places.count() == 2


def test_flags_follow_the_server(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 2)
    sync.sync(account.pk)
    dovecot.store(account.email, "INBOX", "1", "\\Seen \\Answered")
    assert sync.sync(account.pk).updated == 1
    message = Message.objects.get(subject="Mail 1")
    assert (message.seen, message.answered) == (True, True)
    assert not Message.objects.get(subject="Mail 2").seen


def test_a_changed_uidvalidity_reads_the_folder_again_and_loses_nothing(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 4)
    sync.sync(account.pk)
    before = state_of(account).uidvalidity
    pks = set(Message.objects.values_list("pk", flat=True))
    dovecot.doveadm("mailbox", "delete", "-u", account.email, "-s", "INBOX")
    fill(dovecot, account, 3, first=2)
    outcome = sync.sync(account.pk, max_messages=2)
    assert "UIDVALIDITY" in outcome.note
    assert Message.objects.visible().count() == 4
    sync.sync(account.pk, max_messages=2)
    assert state_of(account).uidvalidity != before
    assert stored(account) == on_server(dovecot, account)
    assert set(Message.objects.values_list("pk", flat=True)) == pks
    assert set(Message.objects.visible().values_list("subject", flat=True)) == {"Mail 2", "Mail 3", "Mail 4"}


def break_on(monkeypatch: pytest.MonkeyPatch, word: bytes) -> None:
    parse = mime.parse

    def fragile(raw: bytes) -> ParsedMessage:
        if word in raw:
            raise RuntimeError("a bug in the parser")
        return parse(raw)

    monkeypatch.setattr(mime, "parse", fragile)


def test_a_mail_that_cannot_be_parsed_is_put_aside_and_fetched_again_by_click(
    account: Account, dovecot: Dovecot
) -> None:
    fill(dovecot, account, 3)
    with pytest.MonkeyPatch.context() as patch:
        break_on(patch, b"Mail 2")
        outcome = sync.sync(account.pk)
    assert (outcome.ok, outcome.fetched, outcome.quarantined) == (True, 2, 1)
    aside = Quarantine.objects.open().get()
    assert (aside.uid, aside.attempts) == (2, 1)
    assert "a bug in the parser" in aside.error
    assert state_of(account).cursor == 3
    Quarantine.objects.update(fetch_requested_at=timezone.now())
    assert sync.sync(account.pk).fetched == 1
    assert not Quarantine.objects.open().exists()
    assert stored(account) == on_server(dovecot, account)


def test_a_mail_that_fails_again_counts_its_attempts(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 1)
    with pytest.MonkeyPatch.context() as patch:
        break_on(patch, b"Mail 1")
        sync.sync(account.pk)
        Quarantine.objects.update(fetch_requested_at=timezone.now())
        sync.sync(account.pk)
    assert Quarantine.objects.open().get().attempts == 2
    assert not Quarantine.objects.wanted().exists()


def test_a_mail_the_database_refuses_does_not_take_the_batch_with_it(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dovecot, account, 3)
    write = store.write

    def refusing(folder: Folder, uidvalidity: int, decision: store.Decision, now: datetime) -> store.Stored:
        if any(message.subject == "Mail 2" for _, message in decision.pairs):
            raise ValueError("A string literal cannot contain NUL (0x00) characters.")
        return write(folder, uidvalidity, decision, now)

    monkeypatch.setattr(store, "write", refusing)
    outcome = sync.sync(account.pk)
    assert (outcome.fetched, outcome.quarantined) == (2, 1)
    assert {uid for _, uid, _ in stored(account)} == {1, 3}
    assert Quarantine.objects.get().uid == 2


def test_a_too_large_mail_is_kept_as_its_header_until_it_is_asked_for(
    account: Account, dovecot: Dovecot, settings: Any
) -> None:
    settings.MAX_MESSAGE_BYTES = 2000
    raw = mail(1, body="word " * 1000)
    dovecot.append(account.email, "INBOX", raw)
    sync.sync(account.pk)
    message = Message.objects.get()
    assert (message.is_complete, message.subject, message.body_text.strip()) == (False, "Mail 1", "")
    assert message.size == len(raw)
    message.places.update(fetch_requested_at=timezone.now())
    sync.sync(account.pk)
    message.refresh_from_db()
    assert message.is_complete
    assert rawstore.open_raw(message.raw_digest) == raw
    assert "word word" in message.body_text
    assert message.places.get().fetch_requested_at is None


def test_a_crash_between_bytes_and_rows_leaves_no_row_without_its_bytes(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dovecot, account, 3)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store, "write", crash)
        sync.sync(account.pk)
    assert (Message.objects.count(), RawMessage.objects.count()) == (0, 3)
    assert state_of(account).cursor == 0
    sync.sync(account.pk)
    assert stored(account) == on_server(dovecot, account)
    assert RawMessage.objects.count() == 3


def test_a_locked_database_is_a_failure_and_quarantines_nothing(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dovecot, account, 1)

    def locked(*_: object) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", locked)
        outcome = sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "storage")
    assert not Quarantine.objects.exists()


def test_a_lease_held_by_another_is_respected(account: Account) -> None:
    token = Lease.acquire(account.pk, Lease.Purpose.SYNC, "another", seconds=60, now=timezone.now())
    assert sync.sync(account.pk).error_code == "busy"
    assert token is not None
    Lease.release(account.pk, Lease.Purpose.SYNC, token)
    assert sync.sync(account.pk).ok
    assert not Lease.objects.exists()


def test_a_lease_lost_in_the_middle_commits_nothing(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dovecot, account, 2)
    parse = mime.parse

    def slow(raw: bytes) -> ParsedMessage:
        Lease.objects.update(token="another's")
        return parse(raw)

    monkeypatch.setattr(mime, "parse", slow)
    assert sync.sync(account.pk).error_code == "busy"
    assert not Message.objects.exists()


def test_a_refused_sign_in_marks_the_transport_until_it_succeeds(make_account: MakeAccount) -> None:
    account = make_account(imap_password="wrong")
    outcome = sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "sign_in")
    account.imap.refresh_from_db()
    assert account.imap.needs_sign_in_since is not None
    assert account.smtp.needs_sign_in_since is None
    assert "wrong" not in outcome.error + account.imap.last_reply
    account.imap.password = "secret"
    account.imap.save()
    assert sync.sync(account.pk).ok
    account.imap.refresh_from_db()
    assert account.imap.needs_sign_in_since is None


def test_a_secret_no_key_opens_is_a_refused_sign_in(account: Account) -> None:
    account.imap.encrypted_password = "gAAAAABnot-ours"
    account.imap.save()
    outcome = sync.sync(account.pk)
    assert outcome.error_code == "sign_in"
    assert "PRX_EMAIL_ENCRYPTION_KEYS" in outcome.error


def test_a_server_that_is_down_is_left_alone_for_a_while(make_account: MakeAccount) -> None:
    account = make_account(imap_port=1)
    Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    now = timezone.now()
    outcome = sync.sync(account.pk, now=now)
    assert outcome.error_code == "network"
    account.imap.refresh_from_db()
    assert account.imap.next_allowed_at
    assert 8 <= (account.imap.next_allowed_at - now).total_seconds() <= 10
    state = state_of(account)
    assert state.failure_count == 1
    assert state.next_allowed_at
    assert 8 <= (state.next_allowed_at - now).total_seconds() <= 10
    sync.sync(account.pk, now=now)
    until = state_of(account).next_allowed_at
    assert until and 16 <= (until - now).total_seconds() <= 20


def test_a_folder_that_is_not_there_is_told_and_makes_no_row(account: Account) -> None:
    outcome = sync.sync(account.pk, "Nowhere")
    assert outcome.error_code == "provider"
    assert "doesn't exist" in outcome.error
    assert not Folder.objects.filter(name="Nowhere").exists()


def test_folders_are_found_chosen_and_missed(account: Account, dovecot: Dovecot) -> None:
    dovecot.create_folder(account.email, "Entwürfe")
    found = {folder.name: folder.sync_enabled for folder in sync.discover_folders(account.pk)}
    assert found["INBOX"] is True
    assert found["Entwürfe"] is False
    dovecot.doveadm("mailbox", "delete", "-u", account.email, "Entwürfe")
    assert "Entwürfe" not in {folder.name for folder in sync.discover_folders(account.pk)}
    assert Folder.objects.get(name="Entwürfe").gone_at is not None
    dovecot.create_folder(account.email, "Entwürfe")
    sync.discover_folders(account.pk)
    assert Folder.objects.get(name="Entwürfe").gone_at is None


@pytest.mark.django_db(transaction=True)
def test_search_words_are_made_before_the_write_transaction_begins(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, made, words_of = make_account(), list[bool](), index_words.words_of
    fill(dovecot, account, 2)

    def watched(mail: index_words.Mail, **facts: Any) -> index_words.IndexedWords:
        made.append(connection.in_atomic_block)
        return words_of(mail, **facts)

    monkeypatch.setattr(index_words, "words_of", watched)
    sync.sync(account.pk)
    assert made == [False, False]


@pytest.mark.django_db(transaction=True)
def test_listeners_are_told_after_the_commit(make_account: MakeAccount, dovecot: Dovecot) -> None:
    account = make_account()
    fill(dovecot, account, 2)
    told: list[tuple[int, list[int]]] = []

    def listen(account_id: int, pks: list[int], **_: object) -> None:
        told.append((account_id, sorted(pks)))

    messages_stored.connect(listen)
    try:
        sync.sync(account.pk)
    finally:
        messages_stored.disconnect(listen)
    assert told == [(account.pk, sorted(Message.objects.values_list("pk", flat=True)))]


def test_runs_are_counted_by_the_hour(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 2)
    sync.sync(account.pk, now=WHEN)
    counted = dict(Counter.objects.filter(account=account, hour=WHEN).values_list("name", "value"))
    assert counted == {"sync_attempts": 1, "sync_successes": 1, "messages_received": 2}
