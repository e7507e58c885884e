"""A sync that meets trouble: with a mail, the database, its lease or the server; what it leaves, and how it goes on."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from mailbox.messages import store
from mailbox.models import Account, Folder, Lease, Message, Quarantine, RawMessage, SyncState
from mailbox.parsing.parse_job import ParseJob
from mailbox.parsing.process import ParserPipe, Result
from mailbox.storage import raw_store
from mailbox.sync import folder_sync
from mailbox.sync.folder_run import FolderRun
from mailbox.sync.poison import MOST_ATTEMPTS_ASKED
from mailbox.sync.prefetch import Batch
from tests.mailbox.sync.synced import MakeAccount, account, fill, mail, on_server, state_of, stored
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot

__all__ = ["account"]


def break_on(monkeypatch: pytest.MonkeyPatch, word: bytes) -> None:
    read = ParserPipe.read

    def fragile(parser: ParserPipe, orders: Sequence[ParseJob]) -> Iterator[Result]:
        for order, result in zip(orders, read(parser, orders), strict=True):
            yield "RuntimeError: a bug in the parser" if word in order.raw else result

    monkeypatch.setattr(ParserPipe, "read", fragile)


def test_a_mail_that_cannot_be_parsed_is_put_aside_and_fetched_again_by_click(
    account: Account, dovecot: Dovecot
) -> None:
    fill(dovecot, account, 3)
    with pytest.MonkeyPatch.context() as patch:
        break_on(patch, b"Mail 2")
        outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.fetched, outcome.quarantined) == (True, 2, 1)
    aside = Quarantine.objects.open().get()
    assert (aside.uid, aside.attempts) == (2, 1)
    assert "a bug in the parser" in aside.error
    assert state_of(account).cursor == 3
    Quarantine.objects.update(fetch_requested_at=timezone.now())
    assert folder_sync.sync(account.pk).fetched == 1
    assert not Quarantine.objects.open().exists()
    assert stored(account) == on_server(dovecot, account)


def test_a_mail_that_fails_again_counts_its_attempts(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 1)
    with pytest.MonkeyPatch.context() as patch:
        break_on(patch, b"Mail 1")
        folder_sync.sync(account.pk)
        Quarantine.objects.update(fetch_requested_at=timezone.now())
        folder_sync.sync(account.pk)
    assert Quarantine.objects.open().get().attempts == 2
    assert not Quarantine.objects.wanted().exists()


def test_a_mail_the_database_refuses_does_not_take_the_batch_with_it(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dovecot, account, 3)
    write = store.write

    def refusing(folder: Folder, uidvalidity: int, decision: store.StoreDecision, now: datetime) -> store.Stored:
        if any(message.subject == "Mail 2" for _, message in decision.pairs):
            raise ValueError("A string literal cannot contain NUL (0x00) characters.")
        return write(folder, uidvalidity, decision, now)

    monkeypatch.setattr(store, "write", refusing)
    outcome = folder_sync.sync(account.pk)
    assert (outcome.fetched, outcome.quarantined) == (2, 1)
    assert {uid for _, uid, _ in stored(account)} == {1, 3}
    assert Quarantine.objects.get().uid == 2


def test_a_too_large_mail_is_kept_as_its_header_until_it_is_asked_for(
    account: Account, dovecot: Dovecot, settings: Any
) -> None:
    settings.MAX_MESSAGE_BYTES = 2000
    raw = mail(1, body="word " * 1000)
    dovecot.append(account.email, "INBOX", raw)
    folder_sync.sync(account.pk)
    message = Message.objects.get()
    assert (message.is_complete, message.subject, message.body_text.strip()) == (False, "Mail 1", "")
    assert message.size == len(raw)
    message.places.update(fetch_requested_at=timezone.now())
    folder_sync.sync(account.pk)
    message.refresh_from_db()
    assert message.is_complete
    assert raw_store.open_raw(message.raw_digest) == raw
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
        folder_sync.sync(account.pk)
    assert (Message.objects.count(), RawMessage.objects.count()) == (0, 3)
    assert state_of(account).cursor == 0
    folder_sync.sync(account.pk)
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
        outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "storage")
    assert not Quarantine.objects.exists()


def test_a_batch_whose_commit_fails_is_not_blamed_for_it(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note of its attempt was removed in the transaction that is rolled back, and is removed after it."""
    fill(dovecot, account, 2)

    def full(run: FolderRun, pks: list[int]) -> None:
        raise OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(FolderRun, "_announce", full)
        assert folder_sync.sync(account.pk).error_code == "storage"
    assert SyncState.objects.get().begun == {}
    assert folder_sync.sync(account.pk).fetched == 2


def test_a_mail_that_a_person_asks_for_is_not_blamed_for_our_disk(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as the disk is full when it comes."""
    fill(dovecot, account, 1)
    with monkeypatch.context() as patch:
        break_on(patch, b"Mail 1")
        folder_sync.sync(account.pk)
    Quarantine.objects.update(fetch_requested_at=timezone.now())

    def full(run: FolderRun, pks: list[int]) -> None:
        raise OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(FolderRun, "_announce", full)
        for _ in range(MOST_ATTEMPTS_ASKED + 1):
            assert folder_sync.sync(account.pk).error_code == "storage"
            assert SyncState.objects.get().begun == {}
    assert folder_sync.sync(account.pk).fetched == 1


def test_a_lease_held_by_another_is_respected(account: Account) -> None:
    token = Lease.acquire(account.pk, Lease.Purpose.SYNC, "another", seconds=60, now=timezone.now())
    assert folder_sync.sync(account.pk).error_code == "busy"
    assert token is not None
    Lease.release(account.pk, Lease.Purpose.SYNC, token)
    assert folder_sync.sync(account.pk).ok
    assert not Lease.objects.exists()


def test_a_lease_lost_in_the_middle_commits_nothing(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dovecot, account, 2)
    read = FolderRun.read_batch

    def slow(run: FolderRun, batch: Batch, *, prove: bool) -> None:
        Lease.objects.update(token="another's")
        read(run, batch, prove=prove)

    monkeypatch.setattr(FolderRun, "read_batch", slow)
    assert folder_sync.sync(account.pk).error_code == "busy"
    assert not Message.objects.exists()


def test_a_refused_sign_in_marks_the_transport_until_it_succeeds(make_account: MakeAccount) -> None:
    account = make_account(imap_password="wrong")
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "sign_in")
    account.imap.refresh_from_db()
    assert account.imap.needs_sign_in_since is not None
    assert account.smtp.needs_sign_in_since is None
    assert "wrong" not in outcome.error + account.imap.last_reply
    account.imap.password = MAILBOX_PASSWORD
    account.imap.save()
    assert folder_sync.sync(account.pk).ok
    account.imap.refresh_from_db()
    assert account.imap.needs_sign_in_since is None


def test_a_secret_no_key_opens_is_a_refused_sign_in(account: Account) -> None:
    account.imap.encrypted_password = "gAAAAABnot-ours"
    account.imap.save()
    outcome = folder_sync.sync(account.pk)
    assert outcome.error_code == "sign_in"
    assert "PRX_EMAIL_ENCRYPTION_KEYS" in outcome.error


def test_a_server_that_is_down_is_left_alone_for_a_while(make_account: MakeAccount) -> None:
    account = make_account(imap_port=1)
    Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    now = timezone.now()
    outcome = folder_sync.sync(account.pk, now=now)
    assert outcome.error_code == "network"
    account.imap.refresh_from_db()
    assert account.imap.next_allowed_at
    assert 8 <= (account.imap.next_allowed_at - now).total_seconds() <= 10
    state = state_of(account)
    assert state.failure_count == 1
    assert state.next_allowed_at
    assert 8 <= (state.next_allowed_at - now).total_seconds() <= 10
    folder_sync.sync(account.pk, now=now)
    until = state_of(account).next_allowed_at
    assert until and 16 <= (until - now).total_seconds() <= 20


def test_a_folder_that_is_not_there_is_told_and_makes_no_row(account: Account) -> None:
    outcome = folder_sync.sync(account.pk, "Nowhere")
    assert outcome.error_code == "provider"
    assert "doesn't exist" in outcome.error
    assert not Folder.objects.filter(name="Nowhere").exists()
