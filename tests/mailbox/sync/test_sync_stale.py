"""What is no longer true does no harm: a former folder's news, a restored server's numbers, a worker that slept."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from mailbox.errors import StorageError
from mailbox.messages import store
from mailbox.models import Account, Lease, Message, MessagePlace, Quarantine, SyncState
from mailbox.storage import raw_store
from mailbox.storage.partial_files import PartialFile
from mailbox.sync import folder_sync
from mailbox.sync.account_session import signed_in
from mailbox.sync.prefetch import MessageBudget
from tests.mailbox.sync.scripted_account import account
from tests.mailbox.sync.synced import mail, stored
from tests.mailbox.sync.test_sync_truth import once
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Box, HangUp, Mail, ScriptedImap, Talk

__all__ = ["account"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {uid: Mail(mail(uid)) for uid in range(1, 6)}, highestmodseq=50).start()
    server.capabilities = "IMAP4rev1 ENABLE CONDSTORE QRESYNC"
    yield server
    server.stop()


def another_worker_takes_over(account: Account, **options: Any) -> None:
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert folder_sync.sync(account.pk, **options).ok


def test_news_of_the_folder_that_was_open_are_not_taken_for_the_next_ones(
    account: Account, server: ScriptedImap
) -> None:
    """RFC 7162, 3.2.11: what stands before CLOSED is of the former folder, which has the same UIDs."""
    server.boxes["Other"] = Box({uid: Mail(mail(uid + 10)) for uid in (1, 2, 3)})
    assert all(folder_sync.sync(account.pk, name).fetched for name in ("INBOX", "Other"))

    def with_news(talk: Talk, tag: str, arguments: str) -> bool:
        if talk.folder == "INBOX" and "Other" in arguments:
            talk.say("* 5 EXISTS", "* 1 FETCH (UID 1 FLAGS (\\Flagged))", "* VANISHED (EARLIER) 2", "* OK [CLOSED] x")
        return False

    server.faults["EXAMINE"] = with_news
    with signed_in(account, timezone.now) as session:
        assert folder_sync.sync_folder(session, "INBOX", MessageBudget(100)).ok
        assert folder_sync.sync_folder(session, "Other", MessageBudget(100)).ok
    assert not MessagePlace.objects.filter(flagged=True).exists()
    assert MessagePlace.objects.present().filter(folder__name="Other").count() == 3


def test_mod_sequences_that_fell_tell_nothing_so_all_is_compared_at_once(
    account: Account, server: ScriptedImap
) -> None:
    """A server restored from a backup counts anew: what changed has a lower number than what we know."""
    folder_sync.sync(account.pk)
    server.mails[2].flags, server.mails[2].modseq, server.highestmodseq = "\\Seen", 7, 7
    assert folder_sync.sync(account.pk).ok
    assert MessagePlace.objects.get(seen=True).uid == 2
    assert SyncState.objects.get().highestmodseq == 7


@pytest.mark.parametrize("exists", [9, 3], ids=["EXISTS counts too many", "SEARCH is cut short"])
def test_a_server_whose_exists_never_equals_its_search_has_its_expunges_followed_by_the_comparison(
    account: Account, server: ScriptedImap, exists: int
) -> None:
    server.capabilities, server.highestmodseq = "IMAP4rev1", None
    folder_sync.sync(account.pk)

    def lies(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say(f"* {exists if exists == 9 else len(server.mails)} EXISTS", "* OK [UIDVALIDITY 1] x", f"{tag} OK done")
        return True

    def cut_short(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say("* SEARCH 1", f"{tag} OK done")
        return True

    server.faults = {"EXAMINE": lies} | ({} if exists == 9 else {"SEARCH": cut_short})
    del server.mails[2]
    assert folder_sync.sync(account.pk).ok
    assert MessagePlace.objects.present().count() == 5  # nothing is proved yet

    later = timezone.now() + timedelta(hours=7)
    assert folder_sync.sync(account.pk, now=later).ok

    assert sorted(MessagePlace.objects.present().values_list("uid", flat=True)) == [1, 3, 4, 5]
    assert SyncState.objects.get().compared_at == later  # and it is not compared at each run from now on


def test_a_worker_that_slept_at_its_end_writes_nothing_of_a_former_uidvalidity(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = folder_sync._save

    def late(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(folder_sync, "_save", save)
        server.uidvalidity, server.highestmodseq = 2, 3
        del server.mails[5]
        another_worker_takes_over(account)
        save(*arguments, **options)

    monkeypatch.setattr(folder_sync, "_save", late)
    folder_sync.sync(account.pk)
    state = SyncState.objects.get()
    assert (state.uidvalidity, state.highestmodseq, state.exists, state.uidnext) == (2, 3, 4, 5)


def test_a_worker_that_slept_at_its_beginning_does_not_begin_the_folder_anew(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say(f"{tag} NO not now")
        return True

    server.faults["EXAMINE"] = refuse
    assert not folder_sync.sync(account.pk).ok
    server.faults.clear()
    once("examine", lambda: another_worker_takes_over(account), monkeypatch)
    folder_sync.sync(account.pk)
    state = SyncState.objects.get()
    assert (state.backfill_cursor, state.cursor) == (1, 5)


def test_a_piece_that_comes_too_late_leaves_no_hole_before_it(tmp_path: Path) -> None:
    file = PartialFile(tmp_path / "1-1-1")
    with pytest.raises(StorageError):
        file.put(8, b"late")
    file.put(0, b"anew")
    with pytest.raises(StorageError, match="began this large message anew"):
        file.put(8, b"late")
    file.put(4, b" it is")
    assert file.path.read_bytes() == b"anew it is"


def test_a_database_that_is_full_is_our_trouble_and_no_mails(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(raw_store, "_index", full)
        assert [folder_sync.sync(account.pk).error_code for _ in range(7)] == ["storage"] * 7
    assert (Quarantine.objects.count(), SyncState.objects.get().begun) == (0, {})
    assert folder_sync.sync(account.pk).fetched == Message.objects.count() == 5


def test_thousands_that_claim_one_message_id_are_not_all_read_again(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_COMPARED", 3)
    server.mails = {uid: Mail(mail(uid, Message_ID="<same@example.com>")) for uid in range(1, 21)}
    read: list[str] = []
    open_raw = raw_store.map_raw

    def watched(digest: str) -> tuple[bytes, str]:
        read.append(digest)
        return open_raw(digest)

    monkeypatch.setattr(raw_store, "map_raw", watched)
    while folder_sync.sync(account.pk, max_messages=5).more_waiting:
        pass
    assert len(read) == 3 * 4  # in each job
    assert (Message.objects.count(), MessagePlace.objects.present().count()) == (20, 20)


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("step", ["EXAMINE", "META", "BODY"])
def test_a_uidvalidity_that_changes_within_a_first_sync_leaves_each_mail_once_under_its_new_number(
    account: Account, server: ScriptedImap, step: str, at: int
) -> None:
    """A server restored from a backup ends its connections; UID 3 was another mail a moment ago."""
    calls = 0

    def change(talk: Talk, tag: str, arguments: str) -> bool:
        nonlocal calls
        calls += 1
        if calls == at:
            server.uidvalidity += 1
            server.mails = {uid + 2: each for uid, each in server.mails.items()}
            raise HangUp
        return False

    server.faults[step] = change
    runs = 0
    while runs < 3 or folder_sync.sync(account.pk, max_messages=2).more_waiting:
        folder_sync.sync(account.pk, max_messages=2)
        runs += 1

    assert calls >= at
    assert stored(account) == {("INBOX", uid, raw_store.digest_of(each.raw)) for uid, each in server.mails.items()}
    assert Message.objects.count() == 5 and not Quarantine.objects.exists()
