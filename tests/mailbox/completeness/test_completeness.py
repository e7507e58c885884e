"""Stored mail compared with a real Dovecot: what was damaged on purpose is named, and mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox import tasks
from mailbox.completeness import comparison_times, signature, walk
from mailbox.completeness.compare import FolderLine, StoredRange, StoredUid, compare
from mailbox.errors import MailError
from mailbox.imap.session import FetchedMessage, ImapSession, MessageMeta
from mailbox.models import (
    Account,
    Completeness,
    Folder,
    LetGo,
    MessagePlace,
    Quarantine,
    RawMessage,
    SyncState,
)
from mailbox.storage import raw_store
from mailbox.storage.durable_files import raw_storage
from mailbox.sync import folder_sync
from tests.commands import run
from tests.mailbox.sync.synced import MakeAccount, account, fill, mail, on_server, stored
from tests.rows import NOWHERE
from tests.servers.dovecot import Dovecot

__all__ = ["account", "run"]
pytestmark = pytest.mark.django_db


def line_of(account: Account, folder: str = "INBOX") -> dict[str, Any]:
    lines = Completeness.objects.get(account=account).document["report"]["folders"]
    found: dict[str, Any] = next(line for line in lines if line["folder"] == folder)
    return found


def compared(account: Account) -> dict[str, Any]:
    assert walk.go_on(account.pk)
    return line_of(account)


def named(line: dict[str, Any]) -> set[tuple[int, str, str]]:
    return {(each["uid"], each["what"], each["remedy"]) for each in line["findings"]}


def flip(digest: str) -> None:
    """One bit of this message's stored bytes."""
    raw = RawMessage.objects.get(digest=digest)
    path = Path(raw_storage().path(raw.segment))
    whole = bytearray(path.read_bytes())
    whole[raw.offset + 3] ^= 1
    path.chmod(0o600)
    path.write_bytes(whole)


def test_all_mail_is_here(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 5)
    folder_sync.sync(account.pk)
    line = compared(account)
    assert (line["on_server"], line["stored"], line["differ"], line["sampled"], line["findings"]) == (5, 5, 0, 5, [])


def test_damage_on_purpose_is_named_exactly_and_mended(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 8)
    folder_sync.sync(account.pk)
    inbox = MessagePlace.objects.filter(folder__account=account)
    inbox.filter(uid=2).delete()
    flip(inbox.get(uid=3).raw_digest)
    inbox.filter(uid=4).update(size=17)
    inbox.filter(uid=5).update(gone_at=timezone.now())
    inbox.filter(uid=6).update(raw_digest="0" * 64)
    dovecot.expunge(account.email, "INBOX", "7")
    dovecot.append(account.email, "INBOX", mail(9))

    line = compared(account)

    assert named(line) == {
        (2, "missing", "fetch"),
        (3, "damaged", "stored"),
        (4, "size", "fetch"),
        (5, "hidden", "fetch"),
        (6, "lost", "fetch"),
        (7, "expunged", "hide"),
        (9, "waiting", "fetch"),
    }
    counts = {name: line[name] for name in ("on_server", "stored", "waiting", "expunged", "differ")}
    assert counts == {"on_server": 8, "stored": 5, "waiting": 1, "expunged": 1, "differ": 5}
    assert raw_store.is_sound(inbox.get(uid=3).raw_digest)

    assert folder_sync.sync(account.pk).ok
    assert stored(account) == on_server(dovecot, account)
    line = compared(account)
    assert (line["on_server"], line["stored"], line["differ"], line["findings"]) == (8, 8, 0, [])


def test_changed_flags_a_removed_folder_and_another_uidvalidity_are_named(
    account: Account, dovecot: Dovecot, make_user: Callable[..., User], client: Client
) -> None:
    for name in ("Lists", "Old"):
        dovecot.create_folder(account.email, name)
        dovecot.append(account.email, name, mail(50))
    fill(dovecot, account, 3)
    folder_sync.discover_folders(account.pk)
    Folder.objects.update(sync_enabled=True)
    for name in ("INBOX", "Lists", "Old"):
        assert folder_sync.sync(account.pk, name).ok
    dovecot.store(account.email, "INBOX", "2", "\\Flagged")
    with dovecot.login(account.email) as imap:
        for name in ("Lists", "Old"):
            imap.delete(name)
    dovecot.create_folder(account.email, "Lists")
    dovecot.append(account.email, "Lists", mail(50))
    former = SyncState.objects.get(folder__name="Lists").uidvalidity
    folder_sync.discover_folders(account.pk)

    line = compared(account)

    assert named(line) == {(2, "flags", "follow")}
    assert (line["stored"], line["other_flags"], line["differ"]) == (3, 1, 0)
    lists, old = line_of(account, "Lists"), line_of(account, "Old")
    assert lists["renumbered_from"] == former != lists["uidvalidity"] and lists["waiting"] == 1
    assert (old["kept"], bool(old["gone_at"]), old["differ"]) == (1, True, 0)
    client.force_login(make_user("viewer"))
    page = client.get(reverse("mailbox:account_completeness", args=[account.pk])).content.decode()
    for words in (
        "1 with other flags on the server",
        "Its flags are others on the server.",
        f"UIDVALIDITY was {former}, is {lists['uidvalidity']}",
        "removed from the server; 1 message of it is kept here, hidden",
    ):
        assert words in page
    for name in ("INBOX", "Lists"):
        assert folder_sync.sync(account.pk, name).ok
    assert (compared(account)["other_flags"], line_of(account, "Lists")["renumbered_from"]) == (0, None)


def test_a_copy_that_was_cut_short_when_it_was_fetched_is_fetched_again(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dovecot, account, 1)
    fetch_messages = ImapSession.fetch_messages

    def cut(self: ImapSession, metas: Sequence[MessageMeta]) -> Iterator[FetchedMessage]:
        for each in fetch_messages(self, metas):
            yield replace(each, raw=each.raw[:-10])

    with monkeypatch.context() as patch:
        patch.setattr(ImapSession, "fetch_messages", cut)
        folder_sync.sync(account.pk)
    assert named(compared(account)) == {(1, "other_bytes", "fetch")}
    folder_sync.sync(account.pk)
    assert stored(account) == on_server(dovecot, account)
    assert compared(account)["differ"] == 0


def test_what_is_left_out_on_purpose_has_its_own_numbers(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 4)
    folder_sync.sync(account.pk)
    folder = Folder.objects.get(account=account, name="INBOX")
    for uid, model in ((1, LetGo), (2, Quarantine)):
        place = MessagePlace.objects.get(folder=folder, uid=uid)
        where: dict[str, Any] = {"folder": folder, "uidvalidity": place.uidvalidity, "uid": uid}
        if model is LetGo:
            where |= {"received_at": place.received_at, "size": place.size, "header_digest": place.header_digest}
        else:
            where |= {"account": account, "error": "It cannot be read."}
        model._default_manager.create(**where)
        place.delete()
    line = compared(account)
    assert (line["stored"], line["let_go"], line["quarantined"], line["differ"]) == (2, 1, 1, 0)


def test_a_walk_goes_on_where_it_stopped_and_samples_the_next(
    account: Account, dovecot: Dovecot, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.COMPLETENESS_SAMPLE = 2
    monkeypatch.setattr(walk, "PART", 2)
    fill(dovecot, account, 5)
    folder_sync.sync(account.pk)
    flip(MessagePlace.objects.get(folder__account=account, uid=4).raw_digest)
    assert [walk.go_on(account.pk, seconds=0) for _ in range(3)] == [False, False, True]
    assert (line_of(account)["stored"], line_of(account)["sampled"], line_of(account)["differ"]) == (5, 2, 0)
    assert named(compared(account)) == {(4, "damaged", "stored")}
    assert (compared(account)["sampled"], compared(account)["sampled"]) == (1, 2)


def test_a_folder_not_fetched_yet_is_no_damage(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 4)
    folder_sync.sync(account.pk, max_messages=2)
    line = compared(account)
    assert (line["stored"], line["waiting"], line["differ"]) == (2, 2, 0)


def test_a_difference_is_named_before_what_only_waits() -> None:
    line = FolderLine("INBOX")
    compare(line, dict.fromkeys(range(1, 301), 5), StoredRange({300: StoredUid(300, 6)}))
    assert (line.waiting, line.differ, len(line.findings)) == (299, 1, 100)
    assert line.findings[-1] == {"uid": 300, "what": "size", "remedy": "fetch", "stored_size": 6, "stated_size": 5}


def test_a_report_is_believed_as_it_was_signed_and_not_otherwise(settings: Any) -> None:
    document = signature.sign({"account": "ö", "differ": 0})
    assert signature.fault_of(json.loads(json.dumps(document))) == ""
    assert "changed" in signature.fault_of({**document, "report": {"account": "ö", "differ": 1}})
    keys = list(settings.ENCRYPTION_KEYS)
    settings.ENCRYPTION_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", *keys]
    assert signature.fault_of(document) == ""  # a key that was rotated is still known
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    assert "another key" in signature.fault_of(document)
    assert signature.fault_of(document, document["public_key"]) == ""
    assert "no signed report" in signature.fault_of([1])


NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


def test_each_account_has_its_turn_at_night(make_account: MakeAccount) -> None:
    first, second = make_account("a@example.com", **NOWHERE), make_account("b@example.com", **NOWHERE)
    off = make_account("off@example.com", **NOWHERE)
    Account.objects.filter(pk=off.pk).update(sync_enabled=False)
    night = datetime(2024, 3, 2, 3, 0, tzinfo=UTC)
    assert comparison_times.next_night(NOON) == night
    assert comparison_times.next_account(NOON) is None
    assert comparison_times.next_account(night) == first.pk
    Completeness.objects.filter(account=first).update(next_at=night + timedelta(days=1))
    assert comparison_times.next_account(night) == second.pk
    comparison_times.ask_now(first.pk, NOON)
    assert comparison_times.next_account(NOON) == first.pk


def test_a_server_that_is_away_is_said_and_tried_again(make_account: MakeAccount) -> None:
    account = make_account("a@example.com", **NOWHERE)
    comparison_times.ask_now(account.pk, timezone.now())
    with pytest.raises(MailError):
        walk.go_on(account.pk)
    row = Completeness.objects.get()
    assert row.error and row.finished_at is None and row.next_at > timezone.now() + timedelta(minutes=50)


def test_without_network_nothing_is_compared(account: Account, settings: Any) -> None:
    settings.NETWORK = False
    comparison_times.ask_now(account.pk, timezone.now())
    tasks.compare_due()
    tasks.compare_account(account.pk)
    assert Completeness.objects.get().finished_at is None
